"""Generated sentences, statistics and summaries that the tests of the evaluation share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seq2attn.evaluation.lengths import DEFAULT_BINS, EVERY_LENGTH, Binning, Lengths
from seq2attn.evaluation.measure import MeasuredSystem, MeasureSettings, measure_tables
from seq2attn.evaluation.metrics import MAX_ORDER, Bleu, Statistics
from seq2attn.evaluation.resampling import StatisticsTable
from seq2attn.evaluation.score import BLEU, Bucket, Score
from seq2attn.results.claims import Claim
from seq2attn.results.summary import Summary, System, Training

COUNTS = (142, 640, 905, 760, 420, 195, 88)


def random_statistics(rng: np.random.Generator, lengths: Lengths, quality: Sequence[float] | float) -> Statistics:
    """Statistics of sentences in which each word is right with probability `quality`, independently of the others."""
    right = np.broadcast_to(np.asarray(quality, dtype=np.float64), lengths.shape)
    orders = np.arange(1, MAX_ORDER + 1)
    possible = np.maximum(lengths[:, None] - orders + 1, 0)
    matched = rng.binomial(possible, right[:, None] ** orders)
    return np.column_stack([lengths, lengths, matched, possible]).astype(np.float64)


def measured_system(statistics: Statistics, lengths: Lengths, binning: Binning) -> MeasuredSystem:
    """The system of one output with these statistics, `(n_sentences, N_STATISTICS)`."""
    table = StatisticsTable(Bleu(), [statistics[None]])
    return measure_tables(["one"], [table], lengths, MeasureSettings(binning)).systems[0]


def corrupted(rng: np.random.Generator, references: Sequence[str], quality: float) -> list[str]:
    """The references, with each word replaced with probability 1 - `quality`."""
    return [" ".join(w if rng.random() < quality else "wrong" for w in line.split()) for line in references]


def random_sentences(rng: np.random.Generator, n: int) -> list[str]:
    return [" ".join(f"w{word}" for word in rng.integers(30, size=rng.integers(1, 70))) for _ in range(n)]


def a_bucket(
    low: int,
    high: int | None,
    n: int,
    bleu: float,
    bleu_low: float | None = None,
    bleu_high: float | None = None,
    length_ratio: float | None = None,
    std: float | None = None,
) -> Bucket:
    """A bucket with this BLEU."""
    return Bucket(low, high, n, {BLEU: Score(bleu, bleu_low, bleu_high, n, std)}, length_ratio)


def a_system(name: str, scores: Sequence[float], counts: Sequence[int] = COUNTS) -> System:
    """A system with these BLEU scores, and none in buckets without sentences."""
    buckets = tuple(
        a_bucket(low, high, n, bleu, max(0.0, bleu - 30 / n**0.5), bleu + 30 / n**0.5, 0.97)
        if n
        else Bucket(low, high, 0, {})
        for (low, high), bleu, n in zip(DEFAULT_BINS.ranges(), scores, counts, strict=True)
    )
    training = Training(18.5, 5400, 8_100_000, "2 CPU cores", 2.31, 15.2)
    overall = a_bucket(*EVERY_LENGTH, sum(counts), 15.0, 14.2, 15.8)
    return System(name, f"runs/{name}", "rnn", "additive", 4_100_000, overall, buckets, training=training)


FIXED = replace(a_system("rnn_fixed", [14.1, 12.2, 9.0, 6.4, 4.4, 3.3, 2.5]), attention="none")
ATTENTION = a_system("rnn_attention", [17.5, 19.8, 19.5, 18.8, 18.4, 17.7, 17.2])
SHARE_FALL = Claim("share_fall", "rnn_fixed", "rnn_attention", 0.62, 0.21, -0.41, -0.45, -0.36, 0.0001, found=True)
RETENTION = Claim("retention", "rnn_attention", None, 19.8, 18.0, 0.91, 0.86, 0.96, None, found=True)


def with_std(system: System, std: float) -> System:
    """The system with this standard deviation of its BLEU on all sentences."""
    scores = {BLEU: replace(system.overall.scores[BLEU], std=std)}
    return replace(system, overall=replace(system.overall, scores=scores))


def a_summary(*systems: System, claims: Sequence[Claim] = ()) -> Summary:
    return Summary(
        corpus="bible-fr-en",
        split="test",
        length_of="source",
        machine="2 CPU cores, 8 GB",
        command="seq2attn reproduce --preset quick",
        signature="nrefs:1|tok:13a",
        systems=systems or (FIXED, ATTENTION),
        claims=tuple(claims),
    )
