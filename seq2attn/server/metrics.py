"""What the server counts, in the text format of Prometheus"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SENTENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one server. They start at 0; no other server of the process shares them."""

    def __init__(self, count_waiting: Callable[[], int]) -> None:
        """`count_waiting` returns how many sentences wait for their translation."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "seq2attn_requests",
            "Answered requests by path and status; errors have a status from 400.",
            ["path", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "seq2attn_request_seconds",
            "Time from a request to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batch_sentences = Histogram(
            "seq2attn_batch_sentences", "Sentences in a batch.", buckets=_SENTENCES, registry=self._registry
        )
        self._batch_seconds = Histogram(
            "seq2attn_batch_seconds", "Time to translate a batch.", buckets=_SECONDS, registry=self._registry
        )
        waiting = Gauge("seq2attn_waiting_sentences", "Sentences in the queue.", registry=self._registry)
        waiting.set_function(count_waiting)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request; `path` is one of the server's."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def translated(self, sentences: int, seconds: float) -> None:
        """Count a translated batch."""
        self._batch_sentences.observe(sentences)
        self._batch_seconds.observe(seconds)

    def exposition(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self._registry)
