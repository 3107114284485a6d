from __future__ import annotations

import numpy as np

from seq2attn.evaluation.metrics import Bleu
from seq2attn.evaluation.resampling import StatisticsTable
from seq2attn.evaluation.slope import smoothed_curves
from tests.evaluation_samples import random_statistics


def test_each_point_is_the_corpus_bleu_of_its_window() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 40, 400)
    outputs = [random_statistics(rng, lengths, quality) for quality in (0.6, 0.8, 0.7)]
    bleu = Bleu()
    alone, together = smoothed_curves(StatisticsTable(bleu, [outputs[0][None], np.stack(outputs[1:])]), lengths, 30)
    assert [point.length for point in alone] == [point.length for point in together]
    for point, of_two in zip(alone, together, strict=True):
        inside = (lengths >= point.length - 5) & (lengths < point.length + 5)
        assert point.n == inside.sum() >= 30
        scores = [bleu.score(output[inside].sum(axis=0)) for output in outputs]
        np.testing.assert_allclose([point.bleu, of_two.bleu], [scores[0], np.mean(scores[1:])])


def test_windows_of_few_sentences_have_no_point() -> None:
    lengths = np.array([3] * 30 + [50] * 29)
    statistics = random_statistics(np.random.default_rng(2), lengths, 0.7)
    (points,) = smoothed_curves(StatisticsTable(Bleu(), [statistics[None]]), lengths, 30)
    assert [point.length for point in points] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert smoothed_curves(StatisticsTable(Bleu(), [statistics[None, :0]]), lengths[:0], 30) == [()]
