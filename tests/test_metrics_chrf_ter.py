from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.evaluation.metrics import Bleu, Chrf, Metric, Ter
from tests.test_metrics_bleu import SENTENCE

THEIRS = {
    Bleu(): sacrebleu.BLEU(),
    Bleu("intl"): sacrebleu.BLEU(tokenize="intl"),
    Chrf(): sacrebleu.CHRF(),
    Chrf(word_order=2): sacrebleu.CHRF(word_order=2),
    Ter(): sacrebleu.TER(),
}
METRICS = pytest.mark.parametrize("metric", THEIRS, ids=str)
# A translation and two references of each sentence.
CORPUS = st.lists(st.tuples(SENTENCE, SENTENCE, SENTENCE), min_size=1, max_size=6)


@METRICS
@pytest.mark.parametrize("n_references", [1, 2])
@given(corpus=CORPUS)
def test_summed_statistics_score_exactly_as_sacrebleu(
    metric: Metric, n_references: int, corpus: list[tuple[str, str, str]]
) -> None:
    hypotheses, *references = (list(side) for side in zip(*corpus, strict=True))
    (statistics,) = metric.statistics([hypotheses], references[:n_references])
    expected = THEIRS[metric].corpus_score(hypotheses, references[:n_references]).score
    assert metric.score(statistics.sum(axis=0)) == expected


@METRICS
@given(corpus=CORPUS)
def test_scores_of_many_corpora_equal_the_score_of_each(metric: Metric, corpus: list[tuple[str, str, str]]) -> None:
    hypotheses, *references = (list(side) for side in zip(*corpus, strict=True))
    (statistics,) = metric.statistics([hypotheses], references)
    sums = np.cumsum(statistics, axis=0)
    np.testing.assert_allclose(metric.score_each(sums), [metric.score(row) for row in sums], rtol=1e-12)


@METRICS
def test_statistics_do_not_depend_on_chunks_or_other_systems(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [["a b c", "d e", "the cat sat"], ["a c", "", "the mat"]]
    references = [["a b", "d e f", "the cat"]]
    together = metric.statistics(outputs, references)
    assert together.shape == (2, 3, metric.n_columns)
    monkeypatch.setattr("seq2attn.evaluation.metrics._SENTENCES_AT_ONCE", 2)
    np.testing.assert_array_equal(metric.statistics(outputs, references), together)
    for place, output in enumerate(outputs):
        np.testing.assert_array_equal(metric.statistics([output], references)[0], together[place])


@METRICS
def test_names_and_signatures_are_sacrebleus(metric: Metric) -> None:
    theirs = THEIRS[metric]
    score = theirs.corpus_score(["a b c d"], [["a b c d"], ["a"]])
    assert metric.name == score.name
    assert metric.signature(n_references=2) == str(theirs.get_signature())
