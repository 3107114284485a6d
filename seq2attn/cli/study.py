"""`seq2attn study`: measure what explanations claim about attention."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from seq2attn.cli.options import Device, DeviceOption, JobsOption, JsonOption, parse_jobs
from seq2attn.cli.output import named_progress, print_study

if TYPE_CHECKING:
    from seq2attn.studies.study import MachineStudy, Preset, Study

study_app = typer.Typer(
    no_args_is_help=True,
    help="Measure a claim about attention: a figure, a table and a verdict, each from one command.",
)


class PresetName(StrEnum):
    """Sizes of the models that a study trains."""

    smoke = "smoke"
    quick = "quick"


class AlignedCorpus(StrEnum):
    """Corpora whose word alignment is known."""

    synthetic = "synthetic"
    greek = "sblgnt-grc-en"


RunsArgument = Annotated[
    list[Path] | None, typer.Argument(help="Run folders to measure; without any, the study trains small models.")
]
PresetOption = Annotated[
    PresetName | None,
    typer.Option(metavar="PRESET", help="Models to train: smoke (a minute) or quick (minutes).", show_default="quick"),
]
SizesOption = Annotated[
    PresetName | None,
    typer.Option(metavar="PRESET", help="Sizes to measure: smoke (a minute) or quick (minutes).", show_default="quick"),
]
SeedsOption = Annotated[int, typer.Option(min=1, help="Train each model with this many consecutive seeds.")]
OutOption = Annotated[Path | None, typer.Option(help="Output folder.", show_default="studies/NAME")]


class _Chosen(NamedTuple):
    """What a study measures: runs, or the models that it trains."""

    runs: list[Path] | None = None
    preset: PresetName | None = None
    seeds: int = 1
    jobs: str = "auto"


@study_app.command()
def alignment(
    runs: RunsArgument = None,
    preset: PresetOption = None,
    seeds: SeedsOption = 1,
    jobs: JobsOption = "auto",
    gold: Annotated[
        Path | None,
        typer.Option(help="Word alignment in Pharaoh format, as in 0-0 1-2, with 0?1 for possible links."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Source sentences of --gold; words are separated by spaces.")
    ] = None,
    target: Annotated[Path | None, typer.Option(help="Target sentences of --gold.")] = None,
    one_based: Annotated[bool, typer.Option("--one-based", help="The words in --gold count from 1, not 0.")] = False,
    corpus: Annotated[
        AlignedCorpus | None,
        typer.Option(
            metavar="CORPUS",
            help="Train on synthetic, aligned exactly, or sblgnt-grc-en, the Greek New Testament, aligned by hand.",
            show_default="synthetic",
        ),
    ] = None,
    as_json: JsonOption = False,
    out: OutOption = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Is attention alignment? Error rate of every head's word alignment, against known links."""
    from seq2attn.errors import ConfigError
    from seq2attn.studies.alignment.gold import GoldFiles
    from seq2attn.studies.alignment.study import AlignmentStudy

    files = None
    if gold is not None and source is not None and target is not None:
        files = GoldFiles(gold, source, target, one_based)
    elif gold is not None or source is not None or target is not None or one_based:
        raise ConfigError("--gold, --source and --target: give all three, or none")
    if files is not None and not runs:
        raise ConfigError("--gold: needs runs that translate between its languages; name their folders")
    if runs and corpus is not None:
        raise ConfigError("--corpus: names what the study trains on; runs have their own")
    study = AlignmentStudy(files, (corpus or AlignedCorpus.synthetic).value)
    _run(study, _Chosen(runs, preset, seeds, jobs), as_json, out, device)


def _add_study(name: str, module: str, study: str, summary: str) -> None:
    """Add the command of a study of runs: the class `study` in `seq2attn.studies.{module}`, loaded when it runs."""

    def measure(
        runs: RunsArgument = None,
        preset: PresetOption = None,
        seeds: SeedsOption = 1,
        jobs: JobsOption = "auto",
        as_json: JsonOption = False,
        out: OutOption = None,
        device: DeviceOption = Device.auto,
    ) -> None:
        _run(_load(module, study), _Chosen(runs, preset, seeds, jobs), as_json, out, device)

    study_app.command(name, help=summary)(measure)


def _add_machine_study(name: str, module: str, study: str, summary: str) -> None:
    """The same for a study of this machine, which takes no runs."""

    def measure(
        preset: SizesOption = None,
        as_json: JsonOption = False,
        out: OutOption = None,
        device: DeviceOption = Device.auto,
    ) -> None:
        _run(_load(module, study), _Chosen(preset=preset), as_json, out, device)

    study_app.command(name, help=summary)(measure)


def _load(module: str, study: str) -> Any:
    return getattr(import_module(f"seq2attn.studies.{module}"), study)()


_add_machine_study(
    *("cost", "cost.study", "CostStudy"),
    "What does attention cost as the text grows? Time and memory of full, windowed, sparse and linear attention.",
)
_add_study(
    *("heads", "heads.study", "HeadsStudy"),
    "What do heads do, and which are needed? Importance of each head, and BLEU as heads are removed.",
)
_add_study(
    *("order", "order", "OrderStudy"),
    "Does the order of the words reach the model? Loss and BLEU with the source shuffled and reversed.",
)
_add_machine_study(
    *("parallel", "parallel.study", "ParallelStudy"),
    "What can be computed at once in training? Time per token, and steps that wait, of an RNN and a transformer.",
)
_add_study(
    *("scaling", "scaling.study", "ScalingStudy"),
    "What does the scale of the products change? Entropy, gradients and loss with 1/sqrt(d_k) and without.",
)
_add_study(
    *("distance", "distance.study", "DistanceStudy"),
    "How far does a gradient reach? Gradients of each target token's loss by source position; a pronoun's looks.",
)
_add_study(
    *("weights-and-effects", "effects.study", "EffectsStudy"),
    "Is a weight an explanation? Weights beside the cost of forbidding each look, or leaving the word out.",
)


def _run(study: Study | MachineStudy, chosen: _Chosen, as_json: bool, out: Path | None, device: Device) -> None:
    """Run a study and print its result."""
    from seq2attn.experiment.side_by_side import Interrupted
    from seq2attn.studies.study import StudyRequest, run_study

    command = shlex.join(["seq2attn", *sys.argv[1:]])
    runs, preset, seeds, jobs = chosen
    size: Preset | None = None if preset is None else "smoke" if preset is PresetName.smoke else "quick"
    folder = out or Path("studies") / study.name
    request = StudyRequest(folder, command, device.value, runs or [], size, seeds, parse_jobs(jobs))
    try:
        with named_progress("measuring") as progress:
            outcome = run_study(study, request, progress)
    except Interrupted as stop:
        typer.echo("stopped; run the same command again to resume", err=True)
        raise typer.Exit(128 + stop.signal_number) from None
    if as_json:
        typer.echo(outcome.result.to_json(), nl=False)
        return
    print_study(outcome.result)
    for name, path in outcome.paths.items():
        typer.echo(f"{name}: {path}")
