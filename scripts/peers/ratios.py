"""From timed rounds to ratios of speed, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import rich.table
from rich import box

from seq2attn.benchmark.machine import Setting, Spread, Timing


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one tool is as another."""

    model: str
    work: str
    tool: str
    peer: str
    tool_tokens_per_second: Spread
    peer_tokens_per_second: Spread
    ratio: Spread
    """Of the two rounds that stand in the same turn."""


@dataclass(frozen=True)
class Comparison:
    """A whole benchmark."""

    setting: Setting
    text: str
    tools: Mapping[str, Mapping[str, Any]]
    """By model and tool, its versions and its number of parameters."""
    ratios: tuple[Ratio, ...]

    def to_json(self) -> str:
        """The benchmark as indented JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, indent=2) + "\n"

    def to_table(self) -> rich.table.Table:
        """A row for each ratio; medians, with lowest and highest."""
        table = rich.table.Table(box=box.SIMPLE_HEAD)
        for heading in ("model", "work", "tool", "peer", "tool, tokens/s", "peer, tokens/s", "ratio"):
            table.add_column(heading, justify="right" if heading.endswith(("/s", "ratio")) else "left", no_wrap=True)
        for one in self.ratios:
            speeds = (_text(one.tool_tokens_per_second, 0), _text(one.peer_tokens_per_second, 0))
            table.add_row(one.model, one.work, one.tool, one.peer, *speeds, _text(one.ratio, 2))
        return table


def compare(model: str, work: str, tool: str, peer: str, rounds: Mapping[str, Sequence[Timing]]) -> Ratio:
    """The ratio of `tool` to `peer` over all `rounds`, which were taken in turn."""
    ours, theirs = rounds[tool], rounds[peer]
    return Ratio(
        model=model,
        work=work,
        tool=tool,
        peer=peer,
        tool_tokens_per_second=Spread.of(timing.tokens_per_second for timing in ours),
        peer_tokens_per_second=Spread.of(timing.tokens_per_second for timing in theirs),
        ratio=Spread.of(
            one.tokens_per_second / other.tokens_per_second for one, other in zip(ours, theirs, strict=True)
        ),
    )


def _text(spread: Spread, digits: int) -> str:
    median, lowest, highest = (f"{value:,.{digits}f}" for value in (spread.median, spread.lowest, spread.highest))
    return f"{median} ({lowest}–{highest})"
