"""A benchmark as tables for a terminal."""

from __future__ import annotations

import rich.table
from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from seq2attn.benchmark.growth import Growth
from seq2attn.benchmark.machine import Setting
from seq2attn.benchmark.speed import Bench, ModelSpeed
from seq2attn.benchmark.timing import Spread

_GIGA, _MEGA, _MILLI = 1e9, 1e6, 1e-3


def speed_tables(bench: Bench) -> RenderableType:
    """The models, then what lies around them, then how to read it."""
    models = _table("model", "tokens/s", "GFLOP/s", "share", "memory")
    for model in bench.models:
        _add_model(models, model)
        models.add_section()
    around = _table("beside the models", "")
    around.add_row("matrix products, float32", f"{_text(bench.products_flops_per_second, 1 / _GIGA)} GFLOP/s")
    for what, spread in bench.pipeline_tokens_per_second.items():
        around.add_row(what, f"{_text(spread)} tokens/s")
    for what, spread in bench.start_up_seconds.items():
        around.add_row(what, f"{_text(spread, digits=2)} s")
    note = (
        f"Median (lowest–highest) of {bench.rounds} rounds, of {bench.products_flops_per_second.count} for the matrix "
        "products. Tokens are source tokens for encoding and target tokens for all else, without padding. Share: model "
        "FLOP/s over the rate of matrix products in the same round. Memory: the peak of one process that trains."
    )
    return Group(models, around, _footer(bench.setting, note))


def growth_table(growth: Growth) -> RenderableType:
    """A row for each model and length."""
    table = _table("model", "tokens", "ms a step", "MB added", "MB in all")
    for model in growth.models:
        for place, point in enumerate(model.points):
            table.add_row(
                Text("" if place else model.name),
                str(point.length),
                _text(point.seconds, 1 / _MILLI),
                _text(point.added_bytes, 1 / _MEGA),
                f"{point.peak_bytes.median / _MEGA:,.0f}",
            )
        table.add_section()
    note = (
        f"A training step on {growth.sentences} sentence pairs, source and target of as many tokens each. Median "
        f"(lowest–highest) of {growth.rounds} measurements, each the median of {growth.steps} steps. Added: what these "
        "raise the peak by in a process that has trained on two tokens."
    )
    return Group(table, _footer(growth.setting, note))


def _table(*headings: str) -> rich.table.Table:
    table = rich.table.Table(box=box.SIMPLE_HEAD)
    for place, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if place else "left", no_wrap=place > 0)
    return table


def _add_model(table: rich.table.Table, model: ModelSpeed) -> None:
    """The name in a row of its own, so that five columns fit into 80."""
    table.add_row(Text(model.name, style="bold"), "", "", "", f"{model.peak_memory_bytes / _MEGA:,.0f} MB")
    for work, speed in model.works.items():
        table.add_row(
            f"  beam of {model.beam_size}" if work == "beam" else f"  {work}",
            _text(speed.tokens_per_second),
            f"{speed.flops_per_second.median / _GIGA:,.1f}",
            f"{_text(speed.share_of_products, 100)} %",
            "",
        )


def _text(spread: Spread, factor: float = 1.0, digits: int = 0) -> str:
    """The median with lowest and highest, `5,312 (5,240–5,387)`, times `factor`."""
    median, lowest, highest = (
        f"{factor * value:,.{digits}f}" for value in (spread.median, spread.lowest, spread.highest)
    )
    return f"{median} ({lowest}–{highest})"


def _footer(setting: Setting, note: str) -> Text:
    return Text(f"{note}\n{setting.machine}; device {setting.device}", style="dim")
