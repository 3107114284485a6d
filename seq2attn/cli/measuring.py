"""Words and options of the command line that `eval` and `score` share: systems, lengths, certainty."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seq2attn.evaluation.lengths import Binning
    from seq2attn.evaluation.metrics import Metric

NAMES_HELP = "NAME=PATH calls it NAME; several paths of one NAME are seeds of one model."


class LengthOf(StrEnum):
    """The side whose length makes the buckets."""

    source = "source"
    reference = "reference"


class LengthUnit(StrEnum):
    """What lengths are counted in."""

    words = "words"
    characters = "characters"
    subwords = "subwords"


class MetricName(StrEnum):
    """A metric beside BLEU."""

    chrf = "chrf"
    chrf_plus_plus = "chrf++"
    ter = "ter"


BinsOption = Annotated[
    str | None,
    typer.Option(help="First lengths of the buckets, or width:10, or count:6.", show_default="tens up to 60"),
]
ByLengthOption = Annotated[bool, typer.Option("--by-length", help="Scores in buckets of sentence length.")]
PlotOption = Annotated[
    bool | None,
    typer.Option(
        "--plot/--no-plot", help="Draw the curve in signs, which asks for --by-length.", show_default="on a terminal"
    ),
]
LengthOfOption = Annotated[LengthOf, typer.Option(help="Whose length.")]
LengthUnitOption = Annotated[
    LengthUnit | None,
    typer.Option(
        metavar="UNIT", help="What it is counted in: words, characters or subwords.", show_default="the language's"
    ),
]
SubwordsModelOption = Annotated[
    Path | None, typer.Option(help="The SentencePiece model that makes subwords.", show_default=False)
]
JoinOption = Annotated[
    str | None,
    typer.Option(help="Join consecutive sentences of a document, as in 1,2,3,4, and score them.", show_default=False),
]
MetricOption = Annotated[
    list[MetricName] | None,
    typer.Option(metavar="METRIC", help="A metric beside BLEU: chrf, chrf++ or ter.", show_default=False),
]
BaselineOption = Annotated[
    str | None, typer.Option(help="The system to hold the others against.", show_default="the first")
]


def parse_system(word: str) -> tuple[str | None, Path]:
    """The name that a word gives, if any, and the path; a path that is there as it stands has no name in it."""
    name, equals, path = word.partition("=")
    if not equals or not name or Path(word).exists():
        return None, Path(word)
    return name, Path(path)


def choose_binning(bins: str | None, by_length: bool) -> Binning:
    """The bins that were asked for; without any, one over everything."""
    from seq2attn.evaluation.lengths import DEFAULT_BINS, Bins, parse_binning

    if bins is not None:
        return parse_binning(bins)
    return DEFAULT_BINS if by_length else Bins((0,))


def parse_join_sizes(text: str) -> tuple[int, ...]:
    """The numbers of sentences that a list like `1,2,3,4` names, each once and in order.

    Raises: ConfigError where it is none.
    """
    from seq2attn.errors import ConfigError

    try:
        sizes = sorted({int(size) for size in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        raise ConfigError(f"--join {text}: expected numbers of sentences from 1 up, as in 1,2,3,4")
    return tuple(sizes)


def metrics_beside(names: list[MetricName] | None) -> tuple[Metric, ...]:
    """The metrics with these names, each once."""
    from seq2attn.evaluation.metrics import Chrf, Ter

    metrics: dict[MetricName, Metric] = {
        MetricName.chrf: Chrf(),
        MetricName.chrf_plus_plus: Chrf(word_order=2),
        MetricName.ter: Ter(),
    }
    return tuple(metrics[name] for name in dict.fromkeys(names or []))
