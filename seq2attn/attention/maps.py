"""The attention weights of a model for a sentence, and the choice of those to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from seq2attn.attention.words import Tokens, merge_weights, sum_rows
from seq2attn.errors import RunError

Values = NDArray[np.float64]
Kind = Literal["cross", "encoder", "decoder"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_Axis = Literal["source", "written", "read"]
_AXES: dict[Kind, tuple[_Axis, _Axis]] = {
    "cross": ("written", "source"),
    "encoder": ("source", "source"),
    "decoder": ("written", "read"),
}
_AXIS_NAMES: dict[_Axis, str] = {"source": "source", "written": "translation", "read": "translation so far"}
_KIND_NAMES: dict[Kind, str] = {
    "cross": "cross-attention",
    "encoder": "encoder self-attention",
    "decoder": "decoder self-attention",
}
# More digits would double the size of a page with many heads, and could not be seen.
_DECIMALS = 4


class Choice(NamedTuple):
    """The attention to show; layers and heads count from 1, heads as before pruning.

    No layer: see `resolve`; no head: the mean of the heads.
    """

    kind: Kind = "cross"
    layer: int | None = None
    head: int | None = None


@dataclass(frozen=True)
class AttentionMap:
    """The weights of one head, or the mean of a layer's heads."""

    title: str
    rows: tuple[str, ...]
    """The words that attend."""
    columns: tuple[str, ...]
    """The words that are attended to."""
    weights: NDArray[np.float64]
    """(rows, columns); each row sums to 1."""
    row_name: str
    """The text of the rows: source, translation, translation so far."""
    column_name: str

    def rounded(self) -> list[list[float]]:
        """The weights for JSON."""
        return self.weights.round(_DECIMALS).tolist()


@dataclass(frozen=True)
class Drops:
    """Drops of the log-probability of each token of a translation, in nats, `(tokens, source words)` each.

    The end of the source is no word.
    """

    every_look: Values
    """No attention to the source may look at the word while the token is written."""
    layers: tuple[Values, ...]
    """No head of one layer may; for each layer of the decoder."""
    heads: tuple[Values, ...]
    """One head may not; for each layer `(heads, tokens, source words)`."""
    left_out: Values
    """The word is not in the source at all."""


@dataclass(frozen=True)
class SentenceAttention:
    """All attention weights of one sentence and its translation."""

    source: Tokens
    """EOS included."""
    written: Tokens
    """The translation, with EOS unless it was cut off."""
    read: Tokens
    """The decoder's input: BOS, and the translation without its last subword."""
    weights: Mapping[Kind, Sequence[NDArray[np.float64]]]
    """For each layer (heads, rows, columns) over subwords, for the kinds that the model has; empty for a fixed context.

    A pruned model's layers may differ in their number of heads.
    """
    numbers: Mapping[Kind, Sequence[Sequence[int]]] = field(default_factory=dict)
    """Of each layer's heads, of a pruned model: those before pruning. Elsewhere heads count from 1."""
    drops: Drops | None = None
    """What looks are worth, where it was measured: of the words, or of the subwords, with which the maps are shown."""

    def resolve(self, choice: Choice) -> Choice | None:
        """The choice with its layer filled in; None if the model has no attention of this kind.

        The default layer is the second to last (Garg et al. 2019), or of two the last: these align best
        (docs/maps.md). If a layer has a single head, it is chosen.

        Raises: RunError for a layer or head that the model lacks.
        """
        if choice.kind not in self.weights:
            return None
        layers = self.weights[choice.kind]
        usual = len(layers) - 1 if len(layers) > 2 else len(layers)
        _check_layer(choice.layer, len(layers), choice.kind)
        layer = choice.layer or usual
        numbers = self._numbers(choice.kind, layer)
        if choice.head is not None and choice.head not in numbers:
            found = ", ".join(map(str, numbers))
            where = f"layer {layer} of the {_KIND_NAMES[choice.kind]}"
            raise RunError(f"--head {choice.head}: {where} has no such head; choose from {found}")
        return Choice(choice.kind, layer, numbers[0] if len(numbers) == 1 else choice.head)

    def map(self, choice: Choice, as_subwords: bool) -> AttentionMap | None:
        """The chosen weights; None if the model has no attention of this kind.

        Raises: RunError for a layer or head that the model lacks.
        """
        resolved = self.resolve(choice)
        return None if resolved is None else self._map(resolved, as_subwords)

    def maps(self, choice: Choice, as_subwords: bool) -> list[AttentionMap]:
        """The chosen map, or each head of the layer if the choice is the mean; empty without attention of this kind."""
        resolved = self.resolve(choice)
        if resolved is None:
            return []
        apart = [resolved._replace(head=head) for head in self._heads(resolved)] if resolved.head is None else []
        return [self._map(shown, as_subwords) for shown in apart or [resolved]]

    def as_json(self, choice: Choice, as_subwords: bool) -> dict[str, Any]:
        """All maps as lists of rounded numbers, the mean of a layer before its heads, and the index of the chosen one.

        `rows` and `columns` of a map name the entry of `tokens` along them.
        """
        sides = {"source": self.source, "written": self.written, "read": self.read}
        listed = [
            Choice(kind, layer, head)
            for kind in KINDS
            if kind in self.weights
            for layer in range(1, len(self.weights[kind]) + 1)
            for head in self._heads(Choice(kind, layer))
        ]
        chosen = self.resolve(choice)
        return {
            "tokens": {name: side.labels(as_subwords) for name, side in sides.items()},
            "shown": None if chosen is None else listed.index(chosen),
            "maps": [self._map_as_json(shown, as_subwords) for shown in listed],
        } | ({} if self.drops is None else {"drops": self._drops_of_all(self.drops, as_subwords)})

    def _map_as_json(self, choice: Choice, as_subwords: bool) -> dict[str, Any]:
        found = self._map(choice, as_subwords)
        rows, columns = _AXES[choice.kind]
        shown = choice._asdict() | {
            "title": found.title,
            "rows": rows,
            "columns": columns,
            "weights": found.rounded(),
        }
        if self.drops is None or choice.kind != "cross":
            return shown
        return shown | {"drops": self._rounded_drops(self._own_look(self.drops, choice), as_subwords)}

    def _own_look(self, drops: Drops, choice: Choice) -> Values:
        """The drops where the heads of the map may not look."""
        assert choice.layer is not None
        if choice.head is None:
            return drops.layers[choice.layer - 1]
        of_head: Values = drops.heads[choice.layer - 1][self._numbers("cross", choice.layer).index(choice.head)]
        return of_head

    def _drops_of_all(self, drops: Drops, as_subwords: bool) -> dict[str, list[list[float]]]:
        of_all = {"every_look": drops.every_look, "left_out": drops.left_out}
        return {name: self._rounded_drops(values, as_subwords) for name, values in of_all.items()}

    def _rounded_drops(self, drops: Values, as_subwords: bool) -> list[list[float]]:
        """For JSON: the drop of a word is the sum over its subwords."""
        rounded: list[list[float]] = (drops if as_subwords else sum_rows(drops, self.written)).round(_DECIMALS).tolist()
        return rounded

    def _heads(self, choice: Choice) -> list[int | None]:
        """The heads of the chosen layer; if there are several, None (their mean) comes first."""
        assert choice.layer is not None
        numbers = self._numbers(choice.kind, choice.layer)
        return [*numbers] if len(numbers) == 1 else [None, *numbers]

    def _numbers(self, kind: Kind, layer: int) -> Sequence[int]:
        """Of the heads of a layer."""
        if kind in self.numbers:
            return self.numbers[kind][layer - 1]
        return range(1, len(self.weights[kind][layer - 1]) + 1)

    def _map(self, choice: Choice, as_subwords: bool) -> AttentionMap:
        assert choice.layer is not None
        row_axis, column_axis = _AXES[choice.kind]
        rows, columns = getattr(self, row_axis), getattr(self, column_axis)
        heads = self.weights[choice.kind][choice.layer - 1]
        numbers, n_layers = self._numbers(choice.kind, choice.layer), len(self.weights[choice.kind])
        weights = heads.mean(axis=0) if choice.head is None else heads[numbers.index(choice.head)]
        if not as_subwords:
            weights = merge_weights(weights, rows, columns)
        words = [_KIND_NAMES[choice.kind]]
        words += [f"layer {choice.layer}"] if n_layers > 1 else []
        if list(numbers) != [1]:
            words.append(f"mean of {len(numbers)} heads" if choice.head is None else f"head {choice.head}")
        return AttentionMap(
            ", ".join(words),
            rows.labels(as_subwords),
            columns.labels(as_subwords),
            weights,
            _AXIS_NAMES[row_axis],
            _AXIS_NAMES[column_axis],
        )


def _check_layer(layer: int | None, n_layers: int, kind: Kind) -> None:
    if layer is not None and not 1 <= layer <= n_layers:
        raise RunError(f"--layer {layer}: the {_KIND_NAMES[kind]} has {n_layers} layer(s), counted from 1")


@dataclass(frozen=True)
class ExploredSystem:
    """A model's translation of the sentence, and its attention."""

    name: str
    run: str
    translation: str
    given: bool
    """True: the translation was given, and the model forced to write it; False: it is the model's own."""
    attention: SentenceAttention

    def why_no_map(self, kind: Kind) -> str:
        """Why there is no map of `kind`."""
        if not self.attention.weights:
            return "No attention: every word is written from the same vector."
        return f"This model has no {_KIND_NAMES[kind]}."


@dataclass(frozen=True)
class Exploration:
    """A sentence, and each system's translation and attention."""

    source: str
    systems: tuple[ExploredSystem, ...]

    def check(self, choice: Choice) -> None:
        """Raises: RunError for a layer or head that a system lacks, unless it has no attention of this kind at all."""
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
                {"name": system.name, "run": system.run, "translation": system.translation, "given": system.given}
                | system.attention.as_json(choice, as_subwords)
                for system in self.systems
            ],
        }
