"""Intervals and tests by document: whole documents are drawn, and what they share is not taken for evidence twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seq2attn.evaluation.comparisons import fall
from seq2attn.evaluation.lengths import Bins
from seq2attn.evaluation.measure import Measurement, MeasureSettings, measure_tables
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.resampling import SEED, Bootstrap, Clusters, StatisticsTable
from seq2attn.results.claims import EvaluatedModel, find_claims
from tests.evaluation_samples import random_statistics

N_CLUSTERS, PER_CLUSTER = 40, 5
CLUSTERS = np.repeat(np.arange(N_CLUSTERS), PER_CLUSTER)
LENGTHS = np.tile(np.array([8, 12, 25, 45, 50]), N_CLUSTERS)
EVERYTHING = np.ones(len(LENGTHS), dtype=np.bool_)
SETTINGS = MeasureSettings(Bins((0, 20, 40)), n_resamples=400, n_trials=400)


def made_up(quality: float, seed: int = 0) -> Statistics:
    return random_statistics(np.random.default_rng(seed), LENGTHS, quality)


def duplicated(quality: float, seed: int = 0) -> Statistics:
    """Clusters of one sentence that is there several times."""
    return made_up(quality, seed)[::PER_CLUSTER].repeat(PER_CLUSTER, axis=0)


def measured(clusters: Clusters | None, *systems: Statistics) -> Measurement:
    table = StatisticsTable(Bleu(), [system[None] for system in systems], clusters)
    return measure_tables([f"system {place}" for place in range(len(systems))], [table], LENGTHS, SETTINGS)


def width(measurement: Measurement) -> float:
    score = measurement.systems[0].overall.scores["BLEU"]
    assert score.low is not None
    assert score.high is not None
    return score.high - score.low


def test_each_resample_holds_whole_clusters_with_all_their_sentences() -> None:
    statistics = made_up(0.6)
    group = LENGTHS >= 25
    scores = Bootstrap(StatisticsTable(Bleu(), [statistics[None]], CLUSTERS + 7), 20).scores(group)[0]
    rng = np.random.default_rng(SEED)
    for score in scores:
        drawn = rng.integers(N_CLUSTERS, size=N_CLUSTERS)
        total = np.zeros(statistics.shape[1])
        for cluster in drawn:
            for row in np.flatnonzero(cluster == CLUSTERS):
                if group[row]:
                    total += statistics[row]
        assert score == pytest.approx(Bleu().score(total))


def test_clusters_of_one_sentence_are_sentences() -> None:
    statistics = [made_up(0.6)[None], made_up(0.5, 1)[None]]
    singly = np.random.default_rng(3).permutation(len(LENGTHS))
    plain = Bootstrap(StatisticsTable(Bleu(), statistics), 2000)
    clustered = Bootstrap(StatisticsTable(Bleu(), statistics, np.arange(len(LENGTHS))), 2000)
    np.testing.assert_array_equal(plain.scores(EVERYTHING), clustered.scores(EVERYTHING))
    # Of a bucket only the number of its sentences varies from resample to resample.
    group = LENGTHS < 20
    shuffled = Bootstrap(StatisticsTable(Bleu(), statistics, singly), 2000)
    for before, after in zip(plain.scores(group), shuffled.scores(group), strict=True):
        assert after.mean() == pytest.approx(before.mean(), abs=0.5)
        assert after.std() == pytest.approx(before.std(), rel=0.1)


def test_sentences_that_are_there_several_times_are_no_further_evidence() -> None:
    by_sentence, by_document = (width(measured(clusters, duplicated(0.6))) for clusters in (None, CLUSTERS))
    # Five copies make an interval by sentence too narrow by the root of 5, and more where BLEU is skewed.
    assert 1.9 * by_sentence < by_document < 3.2 * by_sentence


def test_tests_by_document_take_copies_for_one() -> None:
    pair = duplicated(0.6), duplicated(0.6, 1)
    (by_sentence, *_), (by_document, *_) = (measured(clusters, *pair).differences for clusters in (None, CLUSTERS))
    assert by_document.value == by_sentence.value
    assert by_document.p_bootstrap > by_sentence.p_bootstrap
    assert by_document.p_randomisation is not None
    assert by_sentence.p_randomisation is not None
    assert by_document.p_randomisation > by_sentence.p_randomisation


def test_all_buckets_have_the_same_documents() -> None:
    bootstrap = Bootstrap(StatisticsTable(Bleu(), [duplicated(0.6)[None]], CLUSTERS), 200)
    np.testing.assert_array_equal(bootstrap.scores(LENGTHS == 8), bootstrap.scores(LENGTHS == 12))


def test_sentences_of_few_documents_have_no_interval_and_are_not_tested() -> None:
    # All sentences of 40 words and more are from nine documents.
    clusters = np.where(LENGTHS >= 40, CLUSTERS % 9, CLUSTERS)
    measurement = measured(clusters, made_up(0.6), made_up(0.5, 1))
    few = measurement.systems[0].buckets[2]
    assert few.n == 80
    assert few.scores["BLEU"].low is few.scores["BLEU"].high is None
    assert 40 not in {difference.low for difference in measurement.differences}
    assert fall(made_up(0.6)[None], LENGTHS < 20, LENGTHS >= 40, 100, clusters) is None


def test_relations_of_copies_are_less_sure_by_document() -> None:
    def model(name: str, attention: str, quality: float) -> EvaluatedModel:
        statistics = duplicated(quality, len(name))
        return EvaluatedModel(name, attention, statistics[None], measured(None, statistics).systems[0].buckets)

    models = [model("fixed", "none", 0.5), model("attention", "dot", 0.55)]
    plain = find_claims(models, LENGTHS)
    clustered = find_claims([replace(model, clusters=CLUSTERS) for model in models], LENGTHS)
    assert [claim.kind for claim in plain] == [claim.kind for claim in clustered]
    for before, after in zip(plain, clustered, strict=True):
        assert after.value == before.value
        if before.kind == "above":
            assert before.low is not None
            assert after.low is not None
            assert after.low < before.low
