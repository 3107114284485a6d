"""Translation of sentences, in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from seq2attn.config.schema import DecodeConfig
from seq2attn.data.batch import pad_sources
from seq2attn.data.subwords import EOS_ID, Subwords
from seq2attn.decoding.search import Hypothesis, beam_searches, greedy_search
from seq2attn.decoding.threads import search_batches
from seq2attn.models.precision import resolve_precision
from seq2attn.models.products import autocast, products_in
from seq2attn.models.seq2seq import Seq2Seq

# This much input is read ahead and sorted by length: enough for batches with little padding, with a limit on memory.
READ_AHEAD = 4096
"""Lines."""
_READ_AHEAD_CHARACTERS = 2_000_000
_EXTRA_LENGTH = 10
_WORD_BEGINS = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's sign for a space


def chunks_of(sentences: Iterable[str], read_ahead: int = READ_AHEAD) -> Iterator[list[str]]:
    """The sentences in lists of `read_ahead`, shorter where they are long."""
    chunk: list[str] = []
    characters = 0
    for sentence in sentences:
        chunk.append(sentence)
        characters += len(sentence)
        if len(chunk) == read_ahead or characters > _READ_AHEAD_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True)
class Translation:
    """One translation of one sentence."""

    text: str
    score: float
    """Log-probability over length ** length_penalty; with greedy search the log-probability."""
    log_probability: float
    tokens: int
    """Subwords, without EOS."""
    finished: bool
    """False: cut off at the maximum length."""
    parts: int = 1
    """Number of parts in which a too long sentence was translated; the numbers above are sums over them."""
    token_ids: tuple[int, ...] = ()
    """Without BOS and EOS; empty for a sentence translated in parts."""

    def as_json(self) -> dict[str, Any]:
        """Everything but the ids, for programs."""
        return {name: value for name, value in asdict(self).items() if name != "token_ids"}


@dataclass(frozen=True)
class LineFormat:
    """How the translations of a sentence are written."""

    n_best: int = 1
    """Translations of a sentence, each on a line of its own; missing ones are empty."""
    as_json: bool = False
    """Write them as a JSON array on one line, with their scores."""

    def lines(self, translations: Sequence[Translation]) -> str:
        """The translations of one sentence, best first, without the last line end."""
        if self.as_json:
            return json.dumps([translation.as_json() for translation in translations], ensure_ascii=False)
        texts = [translation.text for translation in translations]
        return "\n".join(texts + [""] * (self.n_best - len(texts)))


class Translator:
    """A model with its subwords. Switches the model to evaluation mode.

    In bfloat16 on a CPU it is fast in a process of `kept_kernels`.
    """

    def __init__(self, model: Seq2Seq, subwords: Subwords, config: DecodeConfig) -> None:
        self.model = model.eval()
        self.subwords = subwords
        self.config = config
        self.device = next(model.parameters()).device
        self.precision = resolve_precision(config.precision, self.device)

    def translate(self, sentences: Sequence[str], done: Callable[[int], object] | None = None) -> list[str]:
        """The best translation of each sentence; each batch calls `done` with the number of sentences it finished."""
        return [best.text for best in self.translate_fully(sentences, done)]

    def translate_fully(
        self, sentences: Sequence[str], done: Callable[[int], object] | None = None
    ) -> list[Translation]:
        """The same with what is known about each translation."""
        return self.translate_by_penalty(sentences, [self.config.length_penalty], done)[0]

    def translate_by_penalty(
        self, sentences: Sequence[str], length_penalties: Sequence[float], done: Callable[[int], object] | None = None
    ) -> list[list[Translation]]:
        """The same for each of the length penalties, from one search; with greedy search they are all equal."""
        found = self._translate_chunk(sentences, 1, done, length_penalties)
        return [[best[0] for best in of_penalty] for of_penalty in found]

    def stream(
        self, sentences: Iterable[str], n_best: int = 1, read_ahead: int = READ_AHEAD
    ) -> Iterator[list[Translation]]:
        """Up to `n_best` translations of each sentence, best first; holds at most `read_ahead` sentences in memory."""
        for chunk in chunks_of(sentences, read_ahead):
            yield from self._translate_chunk(chunk, n_best, None, [self.config.length_penalty])[0]

    def _translate_chunk(
        self,
        sentences: Sequence[str],
        n_best: int,
        done: Callable[[int], object] | None,
        length_penalties: Sequence[float],
    ) -> list[list[list[Translation]]]:
        """For each penalty and sentence the best translations."""
        most = min(self.config.max_source_tokens, self.model.max_target_len or self.config.max_source_tokens)
        parts = [split_ids(ids, most, self._begin_words) for ids in self.subwords.encode_source(sentences)]
        sources = [ids for sentence_parts in parts for ids in sentence_parts]
        sentence_of = [sentence for sentence, sentence_parts in enumerate(parts) for _ in sentence_parts]
        missing = [len(sentence_parts) for sentence_parts in parts]
        results: list[list[list[Translation]]] = [[[] for _ in sources] for _ in length_penalties]
        beam_size = max(self.config.beam_size, n_best)

        def search(rows: list[int]) -> list[list[list[Hypothesis]]]:
            return self._search([sources[row] for row in rows], n_best, length_penalties)

        batches = list(self._batches([len(source) * beam_size for source in sources]))
        for rows, found in zip(batches, search_batches(search, batches, self.device), strict=True):
            for of_penalty, result in zip(found, results, strict=True):
                for row, hypotheses in zip(rows, of_penalty, strict=True):
                    # An empty sentence has an empty translation, whatever the model would write for EOS alone.
                    result[row] = self._texts(hypotheses) if len(sources[row]) > 1 else [_EMPTY]
            for row in rows:
                missing[sentence_of[row]] -= 1
            if done is not None:
                done(len({sentence_of[row] for row in rows if not missing[sentence_of[row]]}))
        remaining = (iter(result) for result in results)
        return [[_join([next(result) for _ in sentence_parts]) for sentence_parts in parts] for result in remaining]

    def _begin_words(self, ids: list[int]) -> list[bool]:
        return [piece.startswith(_WORD_BEGINS) for piece in self.subwords.pieces(ids, "source")]

    def _batches(self, costs: list[int]) -> Iterator[list[int]]:
        """Rows in batches of similar length, longest first, so that a lack of memory shows immediately.

        `costs`: tokens of each row, times its hypotheses.
        """
        order = sorted(range(len(costs)), key=lambda row: -costs[row])
        start = 0
        while start < len(order):
            size = max(1, self.config.batch_tokens // costs[order[start]])
            yield order[start : start + size]
            start += size

    def search(self, sources: list[list[int]], n_best: int = 1) -> list[list[Hypothesis]]:
        """Up to `n_best` hypotheses of each encoded source, best first, computed as one batch."""
        return self._search(sources, n_best, [self.config.length_penalty])[0]

    def _search(
        self, sources: list[list[int]], n_best: int, length_penalties: Sequence[float]
    ) -> list[list[list[Hypothesis]]]:
        with torch.inference_mode(), products_in(self.precision, self.device), autocast(self.precision, self.device):
            return self._search_in_context(sources, n_best, length_penalties)

    def _search_in_context(
        self, sources: list[list[int]], n_best: int, length_penalties: Sequence[float]
    ) -> list[list[list[Hypothesis]]]:
        source_ids, source_valid = (tensor.to(self.device) for tensor in pad_sources(sources))
        memory = self.model.encode(source_ids, source_valid)
        limits = [int(self.config.max_length_ratio * len(source)) + _EXTRA_LENGTH for source in sources]
        if self.model.max_target_len is not None:
            limits = [min(limit, self.model.max_target_len) for limit in limits]
        if self.config.beam_size == 1 and n_best == 1:
            return [[[hypothesis] for hypothesis in greedy_search(self.model, memory, limits)]] * len(length_penalties)
        return beam_searches(self.model, memory, limits, self.config.beam_size, length_penalties, n_best)

    def _texts(self, hypotheses: list[Hypothesis]) -> list[Translation]:
        texts = self.subwords.decode_target([hypothesis.token_ids for hypothesis in hypotheses])
        return [
            Translation(
                text,
                found.score,
                found.log_probability,
                len(found.token_ids),
                found.finished,
                token_ids=tuple(found.token_ids),
            )
            for text, found in zip(texts, hypotheses, strict=True)
        ]


def _join(parts: list[list[Translation]]) -> list[Translation]:
    """The translations of a sentence from those of its parts: the best of each joined, the second best of each, …"""
    if len(parts) == 1:
        return parts[0]
    return [
        Translation(
            " ".join(part.text for part in ranked if part.text),
            sum(part.score for part in ranked),
            sum(part.log_probability for part in ranked),
            sum(part.tokens for part in ranked),
            all(part.finished for part in ranked),
            len(ranked),
        )
        for ranked in zip(*parts, strict=False)
    ]


_EMPTY = Translation("", score=0.0, log_probability=0.0, tokens=0, finished=True)


def split_ids(ids: list[int], most: int, begin_words: Callable[[list[int]], list[bool]]) -> list[list[int]]:
    """The `ids` of a source (EOS last) in parts of at most `most` ids, each with EOS at its end.

    Each part is as long as possible and ends before an id that begins a word, or anywhere if no id does.
    `begin_words` returns for each id whether it begins a word.
    """
    parts, start, end = [], 0, len(ids) - 1
    while end - start >= most:
        beginnings = begin_words(ids[start + 1 : start + most])
        cut = start + max((place for place, begins in enumerate(beginnings, start=1) if begins), default=most - 1)
        parts.append([*ids[start:cut], EOS_ID])
        start = cut
    return [*parts, [*ids[start:end], EOS_ID]]
