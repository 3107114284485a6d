"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seq2attn.evaluation.lengths import Binning
    from seq2attn.evaluation.metrics import Metric

NAMES_HELP = "NAME=PATH shows it as NAME; paths that share a NAME are seeds of one model."


class Device(StrEnum):
    """Devices to compute on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class LengthOf(StrEnum):
    """The side whose length decides a sentence's bucket."""

    source = "source"
    reference = "reference"


class LengthUnit(StrEnum):
    """Units of length."""

    words = "words"
    characters = "characters"
    subwords = "subwords"


class Resample(StrEnum):
    """What the resamples behind intervals draw."""

    sentences = "sentences"
    documents = "documents"


class MetricName(StrEnum):
    """Metrics that can be added to BLEU."""

    chrf = "chrf"
    chrf_plus_plus = "chrf++"
    ter = "ter"


class Precision(StrEnum):
    """Precisions of matrix products."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


DeviceOption = Annotated[Device, typer.Option(help="Device to compute on.")]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(help="Precision of large matrix products; auto: the faster one.", show_default="the run's"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OverridesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a setting of every model; may be repeated."),
]
BinsOption = Annotated[
    str | None,
    typer.Option(
        help="Lower bounds of the length buckets, or width:10, or count:6.", show_default="0,10,20,30,40,50,60"
    ),
]
ByLengthOption = Annotated[bool, typer.Option("--by-length", help="Score each bucket of sentence length.")]
PlotOption = Annotated[
    bool | None,
    typer.Option(
        "--plot/--no-plot", help="Draw the curve in the terminal; implies --by-length.", show_default="on a terminal"
    ),
]
LengthOfOption = Annotated[LengthOf, typer.Option(help="Side whose length decides the bucket.")]
LengthUnitOption = Annotated[
    LengthUnit | None,
    typer.Option(
        metavar="UNIT", help="Unit of length: words, characters or subwords.", show_default="depends on the language"
    ),
]
SubwordsModelOption = Annotated[
    Path | None, typer.Option(help="SentencePiece model that splits text into subwords.", show_default=False)
]
JoinOption = Annotated[
    str | None,
    typer.Option(
        help="Score consecutive sentences of a document joined in groups of these sizes, as in 1,2,3,4.",
        show_default=False,
    ),
]
SearchesOption = Annotated[
    bool,
    typer.Option(
        "--searches",
        help="Also translate with greedy search and length penalties of 0, 0.6 and 1, and judge the bottleneck with "
        "each; for joined sentences.",
    ),
]
ResampleOption = Annotated[
    Resample | None,
    typer.Option(
        metavar="UNIT",
        help="What resamples draw for intervals: sentences, or documents (blocks, where data.join joins sentences).",
        show_default="documents where the corpus names them",
    ),
]
JobsOption = Annotated[
    str,
    typer.Option(
        metavar="N", help="Models trained side by side, a process each; auto: one for each core, on a GPU one."
    ),
]
MetricOption = Annotated[
    list[MetricName] | None,
    typer.Option(
        metavar="METRIC", help="Add a metric to BLEU: chrf, chrf++ or ter; may be repeated.", show_default=False
    ),
]
BaselineOption = Annotated[
    str | None, typer.Option(help="System that the others are compared with.", show_default="the first")
]


def parse_system(argument: str) -> tuple[str | None, Path]:
    """The name in `argument` (`NAME=PATH`), if any, and the path; the path of an existing file names nothing."""
    name, equals, path = argument.partition("=")
    if not equals or not name or Path(argument).exists():
        return None, Path(argument)
    return name, Path(path)


def choose_binning(bins: str | None, by_length: bool) -> Binning:
    """The bins given by the user, the default ones if scores are by length, else a single bin."""
    from seq2attn.evaluation.lengths import DEFAULT_BINS, Bins, parse_binning

    if bins is not None:
        return parse_binning(bins)
    return DEFAULT_BINS if by_length else Bins((0,))


def parse_join_sizes(text: str) -> tuple[int, ...]:
    """The sorted, distinct group sizes in a list like `1,2,3,4`.

    Raises: ConfigError if `text` is not such a list.
    """
    from seq2attn.errors import ConfigError

    try:
        sizes = sorted({int(size) for size in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        raise ConfigError(f"--join {text}: expected positive numbers of sentences, as in 1,2,3,4")
    return tuple(sizes)


def parse_jobs(text: str) -> int | None:
    """The number of jobs; None for `auto`.

    Raises: ConfigError if `text` is neither.
    """
    from seq2attn.errors import ConfigError

    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--jobs {text}: expected auto or a positive number of models, as in 2")
    return int(text)


def further_metrics(names: list[MetricName] | None) -> tuple[Metric, ...]:
    """The metrics called `names`, without duplicates."""
    from seq2attn.evaluation.metrics import metrics_named

    return metrics_named(name.value for name in names or [])
