"""Made-up sentences, statistics and summaries that the tests of the evaluation share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seq2attn.evaluation.length_curve import Bucket, LengthCurve
from seq2attn.evaluation.lengths import DEFAULT_BINS, Binning, Lengths
from seq2attn.evaluation.measure import MeasureSettings, measure_panels
from seq2attn.evaluation.metrics import MAX_ORDER, Bleu, Statistics
from seq2attn.evaluation.resampling import Panel
from seq2attn.evaluation.summary import Relation, Summary, System, Training

COUNTS = (142, 640, 905, 760, 420, 195, 88)


def random_statistics(rng: np.random.Generator, lengths: Lengths, quality: Sequence[float] | float) -> Statistics:
    """Statistics of sentences in which every word is right with probability `quality`, whatever its neighbours."""
    right = np.broadcast_to(np.asarray(quality, dtype=np.float64), lengths.shape)
    orders = np.arange(1, MAX_ORDER + 1)
    possible = np.maximum(lengths[:, None] - orders + 1, 0)
    matched = rng.binomial(possible, right[:, None] ** orders)
    return np.column_stack([lengths, lengths, matched, possible]).astype(np.float64)


def bleu_curve(statistics: Statistics, lengths: Lengths, binning: Binning) -> LengthCurve:
    """The curve of one output with these statistics, `(n_sentences, N_STATISTICS)`."""
    panel = Panel(Bleu(), [statistics[None]])
    return measure_panels(["one"], [panel], lengths, MeasureSettings(binning)).systems[0].curve


def corrupted(rng: np.random.Generator, references: Sequence[str], quality: float) -> list[str]:
    """The references with every word replaced with probability 1 - `quality`."""
    return [" ".join(w if rng.random() < quality else "wrong" for w in line.split()) for line in references]


def random_sentences(rng: np.random.Generator, n: int) -> list[str]:
    return [" ".join(f"w{word}" for word in rng.integers(30, size=rng.integers(1, 70))) for _ in range(n)]


def a_system(name: str, scores: Sequence[float], counts: Sequence[int] = COUNTS) -> System:
    """A system with these BLEU scores, and none in buckets without sentences."""
    buckets = tuple(
        Bucket(low, high, n, bleu, max(0.0, bleu - 30 / n**0.5), bleu + 30 / n**0.5, 0.97)
        if n
        else Bucket(low, high, 0, None, None, None, None)
        for (low, high), bleu, n in zip(DEFAULT_BINS.ranges(), scores, counts, strict=True)
    )
    training = Training(18.5, 5400, 8_100_000, "2 CPU cores", 2.31, 15.2)
    return System(name, f"runs/{name}", "rnn", "additive", 4_100_000, 15.0, 14.2, 15.8, buckets, training=training)


FIXED = replace(a_system("rnn_fixed", [14.1, 12.2, 9.0, 6.4, 4.4, 3.3, 2.5]), attention="none")
ATTENTION = a_system("rnn_attention", [17.5, 19.8, 19.5, 18.8, 18.4, 17.7, 17.2])
SHARE_FALL = Relation("share_fall", "rnn_fixed", "rnn_attention", 0.62, 0.21, -0.41, -0.45, -0.36, 0.0001, found=True)
RETENTION = Relation("retention", "rnn_attention", None, 19.8, 18.0, 0.91, 0.86, 0.96, None, found=True)


def a_summary(*systems: System, relations: Sequence[Relation] = ()) -> Summary:
    return Summary(
        corpus="bible-fr-en",
        split="test",
        length_of="source",
        machine="2 CPU cores, 8 GB",
        command="seq2attn reproduce --preset quick",
        signature="nrefs:1|tok:13a",
        systems=systems or (FIXED, ATTENTION),
        relations=tuple(relations),
    )
