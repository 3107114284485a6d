"""Why scores are low: outputs that repeat themselves or were cut off at the length cap, and the cost of length"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seq2attn.evaluation.lengths import Lengths, Range
from seq2attn.evaluation.metrics import MAX_ORDER, Bleu, Statistics
from seq2attn.evaluation.score import Bucket

RepeatedCounts = NDArray[np.int64]


def count_repeated(outputs: Sequence[str], bleu: Bleu) -> RepeatedCounts:
    """For each output how many of its 4-grams occur earlier in it, and how many it has, `(n_outputs, 2)`.

    N-grams are of the tokens that `bleu` counts.
    """
    tokenize = bleu.scorer().tokenizer
    counts = np.zeros((len(outputs), 2), dtype=np.int64)
    for place, output in enumerate(outputs):
        tokens = tokenize(output.rstrip()).split()
        ngrams = list(zip(*(tokens[start:] for start in range(MAX_ORDER)), strict=False))
        counts[place] = len(ngrams) - len(set(ngrams)), len(ngrams)
    return counts


def diagnosed(
    buckets: Sequence[Bucket],
    lengths: Lengths,
    outputs: Sequence[Sequence[str]],
    bleu: Bleu,
    cut_off: Sequence[Collection[int]] | None = None,
) -> tuple[Bucket, ...]:
    """A system's buckets with the share of repeated 4-grams and of capped outputs, over all its outputs together.

    Args:
        buckets: of sentences by length.
        lengths: of each sentence, `(n_sentences,)`.
        outputs: one translation of every sentence for each seed.
        bleu: whose tokens make the 4-grams.
        cut_off: for each seed the rows that were cut off at the length cap; None: not known.
    """
    repeated = np.sum([count_repeated(output, bleu) for output in outputs], axis=0)
    capped = None
    if cut_off is not None:
        every_row = np.concatenate([np.asarray(list(rows), dtype=np.int64) for rows in cut_off])
        capped = np.bincount(every_row, minlength=len(lengths)) / len(outputs)
    found = []
    for bucket in buckets:
        inside = Range(bucket.low, bucket.high).includes(lengths)
        n_repeated, n_ngrams = repeated[inside].sum(axis=0).tolist()
        share = n_repeated / n_ngrams if n_ngrams else None
        capped_share = None if capped is None or not bucket.n else float(capped[inside].mean())
        found.append(replace(bucket, repeated=share, capped=capped_share))
    return tuple(found)


def scored_alone(buckets: Sequence[Bucket], lengths: Lengths, statistics: Statistics, bleu: Bleu) -> tuple[Bucket, ...]:
    """A system's buckets with the BLEU of their sentences one by one, the mean over seeds.

    `statistics`: of these outputs, `(n_seeds, n_inputs, n_columns)`.
    """
    found = []
    for bucket in buckets:
        totals = statistics[:, Range(bucket.low, bucket.high).includes(lengths)].sum(axis=1)
        alone = float(np.mean([bleu.score(total) for total in totals])) if bucket.n else None
        found.append(replace(bucket, alone=alone))
    return tuple(found)
