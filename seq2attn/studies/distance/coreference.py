"""Where *it* looks in "The animal didn't cross the street because it was too tired", and in the same with "wide"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2attn.attention.maps import SentenceAttention
from seq2attn.attention.read import read_attention
from seq2attn.attention.words import Tokens, group_subwords, merge_weights
from seq2attn.data.subwords import EOS_ID
from seq2attn.runs.folder import TrainedRun

Values = NDArray[np.float64]
_ENGLISH = "en"
_PRONOUN = "it"


class Sentences(NamedTuple):
    """The pair in one language, and what its two nouns are called in it."""

    tired: str
    wide: str
    animal: str
    street: str


SENTENCES: Mapping[str, Sentences] = {
    "en": Sentences(
        "The animal didn't cross the street because it was too tired.",
        "The animal didn't cross the street because it was too wide.",
        *("animal", "street"),
    ),
    "fr": Sentences(
        "L'animal n'a pas traversé la rue parce qu'il était trop fatigué.",
        "L'animal n'a pas traversé la rue parce qu'elle était trop large.",
        *("animal", "rue"),
    ),
    "de": Sentences(
        "Das Tier überquerte die Straße nicht, weil es zu müde war.",
        "Das Tier überquerte die Straße nicht, weil sie zu breit war.",
        *("tier", "straße"),
    ),
}


@dataclass(frozen=True)
class Look:
    """The weights of one head from *it* to both nouns, with either last word."""

    run: str
    kind: Literal["encoder", "cross"]
    layer: int
    head: int
    tired: tuple[float, float]
    """To the animal and to the street, where the sentence ends with "tired"."""
    wide: tuple[float, float]

    @property
    def follows(self) -> bool:
        """Whether it looks more at the animal that is tired, and more at the street that is wide."""
        return self.tired[0] > self.tired[1] and self.wide[0] < self.wide[1]


def why_no_pronoun(run: TrainedRun) -> str | None:
    """Why there is no *it* that could look at the nouns; None where there is."""
    source, target = _languages(run)
    if run.config.model.attention == "none":
        return "it has no attention"
    if source == _ENGLISH and run.config.model.kind == "rnn":
        return "an RNN's encoder has no attention"
    if source not in SENTENCES or _ENGLISH not in (source, target):
        return f"it translates from {source} to {target}; needed is from English, or from French or German to English"
    return None if _is_spelled(run, source) else "its subwords cannot spell the sentences"


def _is_spelled(run: TrainedRun, source: str) -> bool:
    """Whether the pronoun and both nouns are among the words that the model reads or writes."""
    own, english = SENTENCES[source], SENTENCES[_ENGLISH]
    for of_source, of_target in ((own.tired, english.tired), (own.wide, english.wide)):
        (ids,), (written,) = run.subwords.encode_source([of_source]), run.subwords.encode_target([of_target])
        read = group_subwords(run.subwords.pieces(ids, "source"))
        rows = read if source == _ENGLISH else group_subwords(run.subwords.pieces(written, "target"))
        if _PRONOUN not in rows.words or None in (_place_of(noun, read) for noun in (own.animal, own.street)):
            return False
    return True


def coreference(name: str, run: TrainedRun) -> list[Look]:
    """The look of every head, for a run that has a pronoun.

    From English it is that of the encoder's *it*, whatever the decoder writes. To English it is that of the decoder
    where it is made to write *it*, from the source in French or German.
    """
    source, _ = _languages(run)
    own = SENTENCES[source]
    sources = run.subwords.encode_source([own.tired, own.wide])
    if source == _ENGLISH:
        return list(_looks(name, "encoder", read_attention(run.model, run.subwords, sources, [[EOS_ID]] * 2), own))
    english = SENTENCES[_ENGLISH]
    forced = [[*ids, EOS_ID] for ids in run.subwords.encode_target([english.tired, english.wide])]
    return list(_looks(name, "cross", read_attention(run.model, run.subwords, sources, forced), own))


def _languages(run: TrainedRun) -> tuple[str, str]:
    env, data = run.folder.read_env(), run.config.data
    source, target = (env.get(f"{side}_language") for side in ("source", "target"))
    return str(source or data.source_language), str(target or data.target_language)


def _looks(
    name: str, kind: Literal["encoder", "cross"], pair: Sequence[SentenceAttention], sentences: Sentences
) -> Iterator[Look]:
    tired, wide = ([_to_nouns(layer, kind, read, sentences) for layer in read.weights[kind]] for read in pair)
    for layer, both in enumerate(zip(tired, wide, strict=True), start=1):
        for head, (first, second) in enumerate(zip(*both, strict=True), start=1):
            yield Look(name, kind, layer, head, first, second)


def _to_nouns(
    weights: Values, kind: Literal["encoder", "cross"], read: SentenceAttention, sentences: Sentences
) -> list[tuple[float, float]]:
    """For each head the weights from *it* to the animal and to the street; `weights` (heads, rows, columns)."""
    rows = read.source if kind == "encoder" else read.written
    merged = merge_weights(weights, rows, read.source)
    pronoun = rows.words.index(_PRONOUN)
    animal, street = (_place_of(noun, read.source) for noun in (sentences.animal, sentences.street))
    return [(float(head[pronoun, animal]), float(head[pronoun, street])) for head in merged]


def _place_of(noun: str, tokens: Tokens) -> int | None:
    """The index of the word that contains `noun`, such as L'animal; None where there is none."""
    return next((place for place, word in enumerate(tokens.words) if noun in word.lower()), None)
