"""`seq2attn runs`, `seq2attn compare` and `seq2attn dashboard`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2attn.cli.options import JsonOption
from seq2attn.cli.output import results_console

if TYPE_CHECKING:
    import rich.table

    from seq2attn.report.markdown import Table
    from seq2attn.runs.listing import Comparison, RunAccount

_COLUMNS = ("run", "model", "corpus", "steps", "BLEU", "test", "age", "size", "state")
_NUMBERS = ("steps", "BLEU", "test", "age", "size")
_CAPTION = "BLEU: greedy, on validation sentences. test: BLEU on test sentences, from the last `seq2attn eval`."
_UNKNOWN = "–"
_AGES = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SIZES = (("G", 2**30), ("M", 2**20), ("K", 2**10))
_POLL_SECONDS = 0.1


def runs(
    folder: Annotated[
        Path | None, typer.Argument(help="A run, or a folder with runs at any depth.", show_default="runs")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first: model, corpus, steps, BLEU, age, size and state."""
    from seq2attn.runs.folder import RUNS
    from seq2attn.runs.listing import list_runs

    place = folder or RUNS
    found = list_runs(place)
    if as_json:
        typer.echo(found.to_json())
        return
    if found.runs:
        results_console().print(_list_table(found.runs, place))
    for broken in found.broken:
        typer.echo(f"seq2attn: {broken.reason}", err=True)


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, two or more.")],
    as_json: JsonOption = False,
) -> None:
    """Compare runs: the settings that differ, and the resulting loss, BLEU, speed, time and size."""
    from seq2attn.report.tables import rich_table
    from seq2attn.runs.listing import compare_runs

    comparison = compare_runs(paths)
    if as_json:
        typer.echo(comparison.to_json())
        return
    console = results_console()
    if comparison.settings:
        console.print(rich_table(_setting_table(comparison), "Settings that differ"))
    else:
        console.print("No setting differs.")
    console.print(rich_table(_metric_table(comparison), "Results, compared with the first run"))
    for note in comparison.notes:
        typer.echo(note, err=True)


def dashboard(
    runs: Annotated[Path | None, typer.Argument(help="A run, or a folder of runs.", show_default="runs")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 takes any free one.", show_default="the first free one from 6006"),
    ] = None,
) -> None:
    """Show runs in TensorBoard, including those still training. Stop it with Ctrl-C."""
    from seq2attn.experiment.dashboard import start_dashboard
    from seq2attn.runs.folder import RUNS
    from seq2attn.training.process import StopRequest

    with StopRequest() as stop:
        typer.echo(start_dashboard(runs or RUNS, port))
        typer.echo("press Ctrl-C to stop", err=True)
        while stop.signal_number is None:
            time.sleep(_POLL_SECONDS)
    raise typer.Exit(128 + stop.signal_number)


def _list_table(runs: Sequence[RunAccount], folder: Path) -> rich.table.Table:
    """A row for each run, named by its path within `folder`."""
    import rich.table
    from rich import box
    from rich.text import Text

    # Narrow enough for 80 columns.
    table = rich.table.Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.title, table.caption, table.caption_justify = Text(f"Runs in {folder}"), Text(_CAPTION, style="dim"), "left"
    for heading in _COLUMNS:
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", overflow="fold")
    for run in runs:
        path = Path(run.path)
        cells = (
            str(path if path == folder else path.relative_to(folder)),
            run.kind if run.kind == "transformer" else f"{run.kind} {run.attention}",
            run.corpus,
            f"{run.steps:,}",
            _number(run.bleu, ".1f"),
            _number(_test_bleu(run), ".1f"),
            _age(time.time() - run.trained.timestamp()),
            _size(run.size_bytes),
            run.state,
        )
        table.add_row(*map(Text, cells))
    return table


def _setting_table(comparison: Comparison) -> Table:
    """A row for each setting that differs, a column for each run."""
    from seq2attn.report.markdown import Table

    rows = tuple((setting.key, *setting.values) for setting in comparison.settings)
    return Table(("setting", *(run.path for run in comparison.runs)), rows, numeric=False)


def _metric_table(comparison: Comparison) -> Table:
    """A row for each metric, a column for each run, with its difference from the first run."""
    from seq2attn.report.markdown import Table

    rows = (
        ("parameters", _row(comparison, lambda run: run.parameters, ",", _ratio)),
        ("steps", _row(comparison, lambda run: run.steps, ",", _ratio)),
        ("minutes", _row(comparison, lambda run: run.minutes, ".1f", _ratio)),
        ("tokens/s", _row(comparison, lambda run: run.tokens_per_second, ",.0f", _ratio)),
        ("validation loss", _row(comparison, lambda run: run.loss, ".3f", _difference(3))),
        ("validation BLEU", _row(comparison, lambda run: run.bleu, ".1f", _difference(1))),
        ("test BLEU", _row(comparison, _test_bleu, ".1f", _difference(1))),
    )
    shown = tuple((name, *cells) for name, cells in rows if set(cells) != {_UNKNOWN})
    return Table(("", *(run.path for run in comparison.runs)), shown)


def _row(
    comparison: Comparison,
    metric: Callable[[RunAccount], float | None],
    format_spec: str,
    compare: Callable[[float, float], str],
) -> list[str]:
    """The metric of each run, formatted, and in brackets how it compares with that of the first."""
    values = [metric(run) for run in comparison.runs]
    cells = [_number(value, format_spec) for value in values]
    first = values[0]
    return [
        cell if column == 0 or value is None or not first else f"{cell} ({compare(value, first)})"
        for column, (cell, value) in enumerate(zip(cells, values, strict=True))
    ]


def _ratio(value: float, first: float) -> str:
    return f"×{value / first:.2f}"


def _difference(places: int) -> Callable[[float, float], str]:
    from seq2attn.report.wording import signed

    return lambda value, first: signed(value - first, places)


def _test_bleu(run: RunAccount) -> float | None:
    return None if run.test_score is None else run.test_score.value


def _number(value: float | None, format_spec: str) -> str:
    return _UNKNOWN if value is None else format(value, format_spec)


def _age(seconds: float) -> str:
    unit, size = next((age for age in _AGES if seconds >= age[1]), _AGES[-1])
    return f"{max(0.0, seconds) / size:.0f} {unit}"


def _size(size_bytes: int) -> str:
    unit, size = next((scale for scale in _SIZES if size_bytes >= scale[1]), _SIZES[-1])
    return f"{size_bytes / size:.1f}{unit}"
