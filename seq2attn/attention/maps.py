"""What a model looked at in one sentence: its attention weights, to be chosen from and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from seq2attn.attention.words import Tokens, merge_weights
from seq2attn.errors import RunError

Kind = Literal["cross", "encoder", "decoder"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_Axis = Literal["source", "written", "read"]
_AXES: dict[Kind, tuple[_Axis, _Axis]] = {
    "cross": ("written", "source"),
    "encoder": ("source", "source"),
    "decoder": ("written", "read"),
}
_AXIS_NAMES: dict[_Axis, str] = {"source": "source", "written": "translation", "read": "translation before it"}
_KIND_NAMES: dict[Kind, str] = {
    "cross": "cross-attention",
    "encoder": "encoder self-attention",
    "decoder": "decoder self-attention",
}
# More digits would make a page of many heads twice as large and show nothing.
_DECIMALS = 4


class Choice(NamedTuple):
    """Which attention is shown, counted from 1; no head: the mean of the layer's heads."""

    kind: Kind = "cross"
    layer: int | None = None
    head: int | None = None


@dataclass(frozen=True)
class AttentionMap:
    """The weights of one head, or the mean of a layer's heads."""

    title: str
    rows: tuple[str, ...]
    """What looks."""
    columns: tuple[str, ...]
    """What is looked at."""
    weights: NDArray[np.float64]
    """(rows, columns); each row sums to 1."""
    row_name: str
    """Which text the rows are of."""
    column_name: str


@dataclass(frozen=True)
class SentenceAttention:
    """All attention weights of one sentence and its translation."""

    source: Tokens
    """The end included."""
    written: Tokens
    """The translation, the end included where the model wrote it."""
    read: Tokens
    """What the decoder was fed: the start, and the translation but for its last subword."""
    weights: Mapping[Kind, NDArray[np.float64]]
    """(layers, heads, rows, columns) over subwords, for the kinds that the model has; empty for a fixed context."""

    def resolve(self, choice: Choice) -> Choice | None:
        """The choice with its layer filled in; None where the model has no attention of this kind.

        Without a layer it is the last but one (Garg et al. 2019), of two the last, which align best
        (docs/attention.md). Where there is one head, it is chosen.

        Raises: RunError for a layer or a head that is not there.
        """
        if choice.kind not in self.weights:
            return None
        n_layers, n_heads = self.weights[choice.kind].shape[:2]
        for name, value, most in (("layer", choice.layer, n_layers), ("head", choice.head, n_heads)):
            if value is not None and not 1 <= value <= most:
                raise RunError(f"--{name} {value}: the {_KIND_NAMES[choice.kind]} has {most}, counted from 1")
        usual = n_layers - 1 if n_layers > 2 else n_layers
        return Choice(choice.kind, choice.layer or usual, 1 if n_heads == 1 else choice.head)

    def map(self, choice: Choice, as_subwords: bool) -> AttentionMap | None:
        """The chosen weights; None where the model has no attention of this kind.

        Raises: RunError for a layer or a head that is not there.
        """
        resolved = self.resolve(choice)
        return None if resolved is None else self._map(resolved, as_subwords)

    def maps(self, choice: Choice, as_subwords: bool) -> list[AttentionMap]:
        """The chosen map, and after a mean of several heads each of them; nothing where there is none of this kind."""
        resolved = self.resolve(choice)
        if resolved is None:
            return []
        apart = [resolved._replace(head=head) for head in self._heads(resolved.kind)] if resolved.head is None else []
        return [self._map(one, as_subwords) for one in apart or [resolved]]

    def as_json(self, choice: Choice, as_subwords: bool) -> dict[str, Any]:
        """All maps as lists of rounded numbers, the mean of a layer before its heads, and the place of the chosen one.

        `rows` and `columns` of a map name the tokens along it.
        """
        sides = {"source": self.source, "written": self.written, "read": self.read}
        listed = [
            Choice(kind, layer, head)
            for kind in KINDS
            if kind in self.weights
            for layer in range(1, self.weights[kind].shape[0] + 1)
            for head in self._heads(kind)
        ]
        chosen = self.resolve(choice)
        return {
            "tokens": {name: side.labels(as_subwords) for name, side in sides.items()},
            "shown": None if chosen is None else listed.index(chosen),
            "maps": [self._map_as_json(one, as_subwords) for one in listed],
        }

    def _map_as_json(self, one: Choice, as_subwords: bool) -> dict[str, Any]:
        found = self._map(one, as_subwords)
        rows, columns = _AXES[one.kind]
        return one._asdict() | {
            "title": found.title,
            "rows": rows,
            "columns": columns,
            "weights": found.weights.round(_DECIMALS).tolist(),
        }

    def _heads(self, kind: Kind) -> list[int | None]:
        """The heads of a layer from 1, and before them None, their mean, where there are several."""
        n_heads = self.weights[kind].shape[1]
        return [1] if n_heads == 1 else [None, *range(1, n_heads + 1)]

    def _map(self, one: Choice, as_subwords: bool) -> AttentionMap:
        assert one.layer is not None
        row_axis, column_axis = _AXES[one.kind]
        rows, columns = getattr(self, row_axis), getattr(self, column_axis)
        n_layers, n_heads = self.weights[one.kind].shape[:2]
        heads = self.weights[one.kind][one.layer - 1]
        weights = heads.mean(axis=0) if one.head is None else heads[one.head - 1]
        if not as_subwords:
            weights = merge_weights(weights, rows, columns)
        words = [_KIND_NAMES[one.kind]]
        words += [f"layer {one.layer}"] if n_layers > 1 else []
        words += [f"mean of {n_heads} heads" if one.head is None else f"head {one.head}"] if n_heads > 1 else []
        return AttentionMap(
            ", ".join(words),
            rows.labels(as_subwords),
            columns.labels(as_subwords),
            weights,
            _AXIS_NAMES[row_axis],
            _AXIS_NAMES[column_axis],
        )


@dataclass(frozen=True)
class ExploredSystem:
    """One model's way with the sentence."""

    name: str
    run: str
    translation: str
    given: bool
    """True: the translation was given, and the model made to write it; False: it is the model's own."""
    attention: SentenceAttention

    def why_nothing(self, kind: Kind) -> str:
        """Why there is no map of `kind`."""
        if not self.attention.weights:
            return "No attention: every word is written from one and the same vector."
        return f"This model has no {_KIND_NAMES[kind]}."


@dataclass(frozen=True)
class Exploration:
    """A sentence, and what each system looked at while it translated it."""

    source: str
    systems: tuple[ExploredSystem, ...]

    def check(self, choice: Choice) -> None:
        """Raises: RunError for a layer or a head that a system with this kind of attention has not."""
        for system in self.systems:
            try:
                system.attention.resolve(choice)
            except RunError as error:
                raise RunError(f"{error} ({system.name})") from error

    def as_json(self, choice: Choice, as_subwords: bool) -> dict[str, Any]:
        """Everything, for programs and for the page."""
        return {
            "source": self.source,
            "systems": [
                {"name": one.name, "run": one.run, "translation": one.translation, "given": one.given}
                | one.attention.as_json(choice, as_subwords)
                for one in self.systems
            ],
        }
