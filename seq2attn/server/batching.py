"""Sentences of many requests in batches: those that wait while a batch is translated form the next one"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from threading import Condition, Thread

from seq2attn.attention.maps import AttentionMap, Choice
from seq2attn.attention.read import read_attention
from seq2attn.config.schema import DecodeConfig
from seq2attn.data.subwords import EOS_ID, Subwords
from seq2attn.decoding.translate import Translation, Translator
from seq2attn.runs.folder import TrainedRun


class QueueFullError(Exception):
    """More sentences than may wait."""


@dataclass(frozen=True)
class Search:
    """How a sentence is translated. Sentences of equal searches may share a batch."""

    model: str
    decode: DecodeConfig
    n_best: int = 1
    attention: bool = False


@dataclass(frozen=True)
class Translated:
    """A sentence's translations, best first, and the attention of the best one where it was asked for and exists."""

    translations: list[Translation]
    attention: AttentionMap | None = None


@dataclass(eq=False)
class _Job:
    """A sentence in the queue."""

    sentence: str
    search: Search
    subwords: Subwords
    future: Future[Translated] = field(default_factory=Future)

    @cached_property
    def tokens(self) -> int:
        """Source tokens; computed by the worker, so that a long request does not delay others."""
        return len(self.subwords.encode_source([self.sentence])[0])


class Batcher:
    """A queue of sentences, and the thread that translates them."""

    def __init__(
        self, runs: Mapping[str, TrainedRun], max_waiting: int, on_batch: Callable[[int, float], object]
    ) -> None:
        """`on_batch` is called with the sentences of each translated batch and the seconds that it took."""
        self._runs = runs
        self._max_waiting = max_waiting
        self._on_batch = on_batch
        self._waiting: list[_Job] = []
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, name="translate", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of sentences in the queue."""
        return sum(not job.future.cancelled() for job in list(self._waiting))

    def submit(self, sentences: Sequence[str], search: Search) -> list[Future[Translated]]:
        """Put sentences into the queue, all or none. Cancelling a future before its batch begins costs no work.

        Raises: QueueFullError.
        """
        jobs = [_Job(sentence, search, self._runs[search.model].subwords) for sentence in sentences]
        with self._changed:
            if self.waiting + len(jobs) > self._max_waiting:
                raise QueueFullError
            self._waiting += jobs
            self._changed.notify()
        return [job.future for job in jobs]

    def close(self) -> None:
        """Translate what is in the queue, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._oldest_group():
            limit = group[0].search.decode.batch_tokens // _hypotheses(group[0].search)
            batch = [group[index] for index in choose_batch([job.tokens for job in group], limit)]
            with self._changed:
                chosen = set(batch)
                self._waiting = [job for job in self._waiting if job not in chosen]
            if begun := [job for job in batch if job.future.set_running_or_notify_cancel()]:
                self._translate(begun)

    def _oldest_group(self) -> list[_Job]:
        """Waits for a sentence; then all with the search of the oldest one, oldest first. Empty: closed."""
        with self._changed:
            while True:
                self._waiting = [job for job in self._waiting if not job.future.cancelled()]
                if self._waiting or self._closed:
                    return [job for job in self._waiting if job.search == self._waiting[0].search]
                self._changed.wait()

    def _translate(self, jobs: Sequence[_Job]) -> None:
        started = time.perf_counter()
        try:
            translated = self._translate_batch([job.sentence for job in jobs], jobs[0].search)
        except Exception as error:
            # One sentence must not fail the others.
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:
                for job in jobs:
                    self._translate([job])
            return
        self._on_batch(len(jobs), time.perf_counter() - started)
        for job, result in zip(jobs, translated, strict=True):
            job.future.set_result(result)

    def _translate_batch(self, sentences: Sequence[str], search: Search) -> list[Translated]:
        run = self._runs[search.model]
        found = Translator(run.model, run.subwords, search.decode).stream(sentences, search.n_best)
        return [
            Translated(translations, _attention(run, sentence, translations[0]) if search.attention else None)
            for sentence, translations in zip(sentences, found, strict=True)
        ]


def choose_batch(tokens: Sequence[int], limit: int) -> list[int]:
    """Indices of the first sentence and of those closest to it in length, for a batch of at most `limit` tokens.

    Args:
        tokens: of each sentence, oldest first. The first is chosen even if it is longer than `limit`.
        limit: tokens of the batch with its padding.
    """
    chosen: list[int] = []
    longest = 0
    for index in sorted(range(len(tokens)), key=lambda index: abs(tokens[index] - tokens[0])):
        longest = max(longest, tokens[index])
        if chosen and longest * (len(chosen) + 1) > limit:
            break
        chosen.append(index)
    return chosen


def _hypotheses(search: Search) -> int:
    return max(search.decode.beam_size, search.n_best)


def _attention(run: TrainedRun, sentence: str, best: Translation) -> AttentionMap | None:
    """The attention between words; None for an empty sentence, one in parts, and a model without attention."""
    (source_ids,) = run.subwords.encode_source([sentence])
    if len(source_ids) == 1 or best.parts > 1:
        return None
    written = [*best.token_ids, EOS_ID] if best.finished else best.token_ids
    (attention,) = read_attention(run.model, run.subwords, [source_ids], [written])
    return attention.map(Choice(), as_subwords=False)
