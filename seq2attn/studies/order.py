"""`order`: does the order of the source words reach the model?

Attention is a weighted sum, and a sum has no order: without positions, an encoder of self-attention sees a bag of words
(Vaswani et al. 2017, section 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from seq2attn.config.schema import Config
from seq2attn.corpora.load import load_corpus
from seq2attn.decoding.translate import Translator
from seq2attn.evaluation.metrics import Bleu
from seq2attn.evaluation.resampling import N_RESAMPLES, SEED, expanded_interval, resample_sums
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.results.study import (
    Estimate,
    JudgedClaim,
    Point,
    StudyClaim,
    StudyPanel,
    StudyResult,
    StudySeries,
    StudyTable,
    Value,
    judge_in_every_run,
)
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.losses import Losses, mean_per_token, target_tokens, text_losses
from seq2attn.studies.sample import spread
from seq2attn.studies.small_models import small_model
from seq2attn.studies.study import Preset, Progress, Study

ORDER_FREE = StudyClaim(
    "order-free",
    "Without positions a transformer does not see the order of its source: shuffled words change nothing",
    "The largest change of any sentence's loss per target token when the words of its source are shuffled. There is no "
    "interval, because it is exact; supported if it is below 0.001 nats, which rounding stays below.",
    0.001,
    above=False,
)
ORDER_REACHES = StudyClaim(
    "order-reaches",
    "With positions, or with recurrence, the order of the source reaches the model: shuffled words raise its loss",
    "Loss per target token with the words of each source shuffled, minus that with the source as written, against the "
    "same references; 95 % bootstrap interval over sentences; supported if it is above 0.1 nats in every run.",
    0.1,
    above=True,
)
ORDER_IS_NEEDED = StudyClaim(
    "order-is-needed",
    "Without positions a transformer translates worse than with any scheme of positions",
    "Loss per target token without positions, minus that of each run with positions, source as written, on the same "
    "sentences; 95 % bootstrap interval over sentences; supported if it is above 0.1 nats for every scheme.",
    0.1,
    above=True,
)

Reorder = Callable[[Sequence[str]], list[str]]


def shuffle(words: Sequence[str]) -> list[str]:
    """The words in random order, the same one for the same words; never as they were if there is another order."""
    shuffled = list(words)
    random = Random(" ".join(words))
    while len(set(words)) > 1 and shuffled == list(words):
        random.shuffle(shuffled)
    return shuffled


_ORDERS: Mapping[str, Reorder] = {"as written": list, "shuffled": shuffle, "reversed": lambda words: list(words)[::-1]}
_SCHEMES = {
    "sinusoidal": "Sinusoidal",
    "learned": "Learned",
    "rotary": "Rotary",
    "alibi": "ALiBi",
    "none": "No positions",
}
_SENTENCES = {"smoke": 60, "quick": 500}
_EXAMPLE_WORDS = range(5, 9)
# Five models have to be trained within the minute of `smoke`.
_SMOKE_TRAINING = {"max_steps": 60, "validate_every_steps": 60, "checkpoint_every_steps": 60, "keep_checkpoints": 1}


class OrderStudy(Study):
    """Loss and BLEU of each run with the source as written, shuffled and reversed."""

    name = "order"
    question = "Does the order of the words reach the model?"
    claims = (ORDER_FREE, ORDER_REACHES, ORDER_IS_NEEDED)

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """A transformer with each scheme of positions."""
        train = _SMOKE_TRAINING if preset == "smoke" else {}
        return {
            scheme: small_model("transformer", preset, name, model={"positions": scheme}, train=train)
            for scheme, name in _SCHEMES.items()
        }

    def why_not(self, run: TrainedRun) -> str | None:
        """Every model reads its source somehow."""
        return None

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """The losses and translations of all runs, each on the test split of its own corpus."""
        n_sentences = _SENTENCES[preset or "quick"]
        measured = [_measure(name, run, n_sentences, progress) for name, run in runs.items()]
        corpora = " and ".join(dict.fromkeys(f"{found.corpus} ({len(found.tokens)} sentences)" for found in measured))
        return StudyResult(
            self.name,
            self.question,
            f"{len(runs)} run{'s' * (len(runs) > 1)} on test sentences of {corpora}.",
            tuple(_judge(measured)),
            (_table(measured), _examples(measured)),
            (_loss_panel(measured), _bleu_panel(measured)),
            _NOTES,
        )


_NOTES = (
    "Words are what spaces separate, so punctuation moves with its word. For the loss, models are fed with the "
    "reference; for BLEU they translate. References are always those of the source as written.",
    "A model that keeps its loss when words are shuffled may still know the language's usual order from its decoder: a "
    "causal decoder knows how many words it has read, with positions or without.",
)


@dataclass(frozen=True)
class _Measured:
    """One run with each order of its sources."""

    run: str
    positions: str
    """`recurrence` for an RNN."""
    corpus: str
    digest: str
    """The same for runs whose losses can be compared: the same subwords of the same text."""
    tokens: NDArray[np.float64]
    losses: Mapping[str, Losses]
    bleu: Mapping[str, Estimate]
    example: Mapping[str, tuple[str, str]]
    """A source and its translation."""

    def rise(self, order: str) -> Losses:
        """Each sentence's loss in this order minus that as written."""
        return self.losses[order] - self.losses["as written"]


def _measure(name: str, run: TrainedRun, n_sentences: int, progress: Progress) -> _Measured:
    corpus = load_corpus(run.config.data)
    test = corpus.splits["test"]
    test = test.select(spread(range(len(test)), n_sentences))
    sources, targets = list(test["source"]), list(test["target"])
    translator = Translator(run.model, run.subwords, run.config.decode)
    bleu = Bleu(tokenizer_for(corpus.target_language))
    chosen = next((row for row, source in enumerate(sources) if len(source.split()) in _EXAMPLE_WORDS), 0)
    losses, scores, example = {}, {}, {}
    for number, (order, reorder) in enumerate(_ORDERS.items(), start=1):
        changed = [" ".join(reorder(source.split())) for source in sources]
        losses[order] = text_losses(run, changed, targets)
        translations = translator.translate(changed)
        scores[order] = _bleu(name, bleu, translations, targets)
        example[order] = changed[chosen], translations[chosen]
        progress(name, number, len(_ORDERS))
    positions = run.config.model.positions if run.config.model.kind == "transformer" else "recurrence"
    digest = f"{corpus.digest} {run.subwords.digest}"
    return _Measured(name, positions, corpus.name, digest, target_tokens(run, targets), losses, scores, example)


def _bleu(run: str, metric: Bleu, translations: Sequence[str], references: Sequence[str]) -> Estimate:
    rows = metric.statistics([translations], [references])[0]
    sums = resample_sums(rows, N_RESAMPLES, np.random.default_rng(SEED))
    low, high = expanded_interval(metric.score_each(sums), len(rows))
    return Estimate(run, metric.score(rows.sum(axis=0)), low, high)


def _judge(measured: Sequence[_Measured]) -> Iterator[JudgedClaim]:
    """The claims that these runs can answer."""
    without = [found for found in measured if found.positions == "none"]
    ordered = [found for found in measured if found.positions != "none"]
    if without:
        yield judge_in_every_run(ORDER_FREE, [_largest_change(found) for found in without])
    if ordered:
        rises = [mean_per_token(found.run, found.rise("shuffled"), found.tokens) for found in ordered]
        yield judge_in_every_run(ORDER_REACHES, rises)
    worse = [
        mean_per_token(found.run, none.losses["as written"] - found.losses["as written"], found.tokens)
        for none in without
        for found in ordered
        if found.positions != "recurrence" and found.digest == none.digest
    ]
    if worse:
        yield judge_in_every_run(ORDER_IS_NEEDED, worse)


def _largest_change(found: _Measured) -> Estimate:
    largest = float(np.abs(found.rise("shuffled") / found.tokens).max())
    return Estimate(found.run, largest, largest, largest)


def _table(measured: Sequence[_Measured]) -> StudyTable:
    header = ("run", "positions", "source", "loss per token", "low", "high", "BLEU", "low", "high")
    return StudyTable("orders", "Loss and BLEU, with 95 % intervals", header, tuple(_rows(measured)))


def _rows(measured: Sequence[_Measured]) -> Iterator[tuple[Value, ...]]:
    for found in measured:
        for order in _ORDERS:
            loss, bleu = mean_per_token(found.run, found.losses[order], found.tokens), found.bleu[order]
            yield found.run, found.positions, order, loss.value, loss.low, loss.high, bleu.value, bleu.low, bleu.high


def _examples(measured: Sequence[_Measured]) -> StudyTable:
    rows = [(found.run, order, *found.example[order]) for found in measured for order in _ORDERS]
    return StudyTable("examples", "One sentence", ("run", "order", "source", "translation"), tuple(rows))


def _loss_panel(measured: Sequence[_Measured]) -> StudyPanel:
    def loss(found: _Measured, order: str) -> Estimate:
        return mean_per_token(found.run, found.losses[order], found.tokens)

    return _panel("Loss", "nats per target token", measured, loss)


def _bleu_panel(measured: Sequence[_Measured]) -> StudyPanel:
    return _panel("BLEU", "BLEU", measured, lambda found, order: found.bleu[order])


def _panel(
    title: str, unit: str, measured: Sequence[_Measured], value: Callable[[_Measured, str], Estimate]
) -> StudyPanel:
    series = []
    for order in _ORDERS:
        values = [value(found, order) for found in measured]
        points = [Point(row, each.value, each.low, each.high) for row, each in enumerate(values)]
        series.append(StudySeries(f"source {order}", tuple(points)))
    return StudyPanel(title, "", unit, tuple(series), tuple(found.run for found in measured))
