"""`heads`: what do heads do, and which are needed?

Michel et al. 2019 (importance, half of the heads), Voita et al. 2019 (learned gates, what heads look at), Vaswani et
al. 2017, table 3 (one head against many).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from seq2attn.config.models import TransformerConfig
from seq2attn.config.schema import Config
from seq2attn.corpora.load import load_corpus
from seq2attn.data.loader import Loader
from seq2attn.evaluation.comparisons import bleu_difference
from seq2attn.evaluation.lengths import length_unit, sentence_lengths
from seq2attn.evaluation.metrics import Bleu, Statistics
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.pruning.heads import heads_of
from seq2attn.pruning.importance import ablation_importance, gradient_importance, sample_batches
from seq2attn.pruning.learned import learn_gates
from seq2attn.results.study import Estimate, StudyResult
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.heads import views
from seq2attn.studies.heads.claims import CLAIMS, judge
from seq2attn.studies.heads.curves import ScoredText, measure_curves
from seq2attn.studies.heads.looks import read_looks, token_counts
from seq2attn.studies.heads.views import MeasuredHeads
from seq2attn.studies.sample import TextPair, spread, text_pairs
from seq2attn.studies.small_models import small_model
from seq2attn.studies.study import Preset, Progress, Study
from seq2attn.training.prepare import prepare_text


class _Sizes(NamedTuple):
    importance_sentences: int
    test_sentences: int
    looked_sentences: int
    gate_steps: int
    gate_trainings: int


_QUICK, _SMOKE = _Sizes(300, 200, 150, 120, 3), _Sizes(32, 32, 16, 12, 2)
_PRICE = 0.02
"""Of an open gate, in nats per target token."""


class HeadsStudy(Study):
    """Importance of each head, BLEU as heads go, what each looks at, and one head against many."""

    name = "heads"
    question = "What do heads do, and which are needed?"
    claims = CLAIMS

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """A transformer with four heads in each attention, and one of the same width with a single head."""
        return {
            "many": small_model("transformer", preset, "Transformer, 4 heads"),
            "one": small_model("transformer", preset, "Transformer, 1 head", {"n_heads": 1}),
        }

    def why_not(self, run: TrainedRun) -> str | None:
        """An RNN has no heads."""
        return None if run.config.model.kind == "transformer" else "an RNN has no heads; give a transformer"

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """All heads of the runs that have several, and BLEU of all runs."""
        sizes = _SMOKE if preset == "smoke" else _QUICK
        several = {name: run for name, run in runs.items() if _n_heads(run) > 1} or dict(runs)
        measured = [_measure(name, run, sizes, preset == "smoke", progress) for name, run in several.items()]
        known = {heads.run: bool(heads.looks.rows[..., -1].any()) for heads in measured}
        compared = list(_one_against_many(runs, sizes, preset == "smoke"))
        return StudyResult(
            self.name,
            self.question,
            f"{len(runs)} run{'s' * (len(runs) > 1)}; BLEU of {sizes.test_sentences} test sentences, greedy search.",
            tuple(judge(measured, known, compared)),
            (
                views.half_table(measured),
                views.importance_table(measured),
                views.curves_table(measured),
                views.looks_table(measured),
            ),
            (views.curves_panel(measured), views.lengths_panel(measured), views.importance_panel(measured)),
            _NOTES,
        )


_NOTES = (
    "gradient: the mean over sentences of |∂loss/∂gate| at open gates, divided by the Euclidean norm over the heads of "
    "the same attention (Michel et al. 2019, section 4.1). loss without: how much the loss rises with the head alone "
    "removed, in nats per target token. Intervals: 95 %, bootstrap over sentences.",
    "gate open: the probability that a learned hard concrete gate is open (Louizos et al. 2018), where every open gate "
    f"costs {_PRICE} nats per token. The weights stay as they are, unlike in Voita et al. 2019. Intervals: 95 %, over "
    "several trainings of the gates.",
    "Removed heads give nothing to the output projection, as if pruned; the model is not trained further, which would "
    "win back part of what is lost. Validation sentences decide which head goes; BLEU is that of test sentences.",
    "What a head looks at counts subwords. boundary: the end of the source, or in causal attention the start. rare: "
    "the sentence's subword that is least frequent in training. aligned: subwords of the linked word, where the "
    "alignment is known, read where the target word is written. Rows without such a subword are left out.",
    "A weight is not an effect: a head may look at a word and take nothing from it.",
)


def _n_heads(run: TrainedRun) -> int:
    return max(map(len, _model_config(run).heads("cross")))


def _model_config(run: TrainedRun) -> TransformerConfig:
    assert isinstance(run.config.model, TransformerConfig)
    return run.config.model


def _measure(name: str, run: TrainedRun, sizes: _Sizes, is_short: bool, progress: Progress) -> MeasuredHeads:
    config, model = _model_config(run), run.model
    assert isinstance(model, TransformerSeq2Seq)
    device = next(model.parameters()).device
    text = prepare_text(run.config, run.folder, resume=True)
    batches = sample_batches(text.validation, sizes.importance_sentences, run.config.train.batch_tokens, device)

    def show(part: str, finished: int, total: int) -> None:
        progress(f"{name}, {part}", finished, total)

    gradient = gradient_importance(model, config, batches)
    ablation = ablation_importance(model, config, batches, lambda *done: show("each head alone", *done))
    gates = []
    for training in range(sizes.gate_trainings):
        loader = Loader(text.train, run.config.train.model_copy(update={"seed": training}), device)
        gates.append(learn_gates(model, config, loader, _PRICE, sizes.gate_steps, training).double().numpy())
        show("gates", training + 1, sizes.gate_trainings)
    curves = measure_curves(run, batches, _scored_text(run, sizes, is_short), show)
    counts = token_counts(text.train, run.subwords.source_size, run.subwords.target_size)
    looks = read_looks(run, _test_pairs(run, sizes.looked_sentences, is_short), counts)
    return MeasuredHeads(name, heads_of(config), gradient, ablation, np.stack(gates), curves, looks)


def _test_pairs(run: TrainedRun, number: int, is_short: bool) -> list[TextPair]:
    """At most `number` test sentences, spread over all or the shortest ones, with links where they are known."""
    pairs = text_pairs(run)
    return sorted(pairs, key=lambda pair: len(pair.source))[:number] if is_short else spread(pairs, number)


def _scored_text(run: TrainedRun, sizes: _Sizes, is_short: bool) -> ScoredText:
    corpus = load_corpus(run.config.data)
    pairs = _test_pairs(run, sizes.test_sentences, is_short)
    sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
    lengths = sentence_lengths(sources, length_unit(corpus.source_language))
    return ScoredText(sources, references, Bleu(tokenizer_for(corpus.target_language)), lengths)


def _one_against_many(runs: Mapping[str, TrainedRun], sizes: _Sizes, is_short: bool) -> Iterator[Estimate]:
    """Each group of runs that differ in their number of heads and seeds only."""
    groups: dict[str, dict[bool, list[Statistics]]] = {}
    for run in runs.values():
        config = run.config.model_dump(exclude={"name": True, "model": {"n_heads"}, "train": {"seed"}})
        is_one = _model_config(run).n_heads == 1
        group = groups.setdefault(repr(config), {})
        group.setdefault(is_one, []).append(_scored_text(run, sizes, is_short).statistics(run))
    for group in groups.values():
        if len(group) == 2:
            many, one = (np.concatenate(group[is_one]) for is_one in (False, True))
            measured = bleu_difference(many, one)
            if measured is not None:
                name = f"{len(many)} with several heads, {len(one)} with one"
                yield Estimate(name, measured.value, measured.low, measured.high, measured.p_value)
