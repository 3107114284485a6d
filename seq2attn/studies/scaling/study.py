"""`scaling`: what does 1/√d_k change?

Vaswani et al. 2017, section 3.2.1: products of queries and keys of width d_k have a variance of d_k, which would push
the softmax to where its gradients are extremely small. Beside it, additive against multiplicative scores of an RNN
(Britz et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from seq2attn.config.schema import Config
from seq2attn.corpora.load import load_corpus
from seq2attn.results.study import StudyResult
from seq2attn.runs.folder import TrainedRun, untrained
from seq2attn.studies.losses import target_tokens, text_batches, text_losses
from seq2attn.studies.sample import corpora_of
from seq2attn.studies.scaling import views
from seq2attn.studies.scaling.claims import CLAIMS, ScaledRun, judge
from seq2attn.studies.scaling.softmax import measure_softmax
from seq2attn.studies.small_models import Settings, small_model
from seq2attn.studies.study import Preset, Progress, Study


class _Plan(NamedTuple):
    """What a preset trains and measures."""

    d_model: int
    """Of all transformers; heads of width d_k then have d_model / d_k in each attention."""
    widths: tuple[int, ...]
    rnn_widths: tuple[int, ...]
    rnn_scores: tuple[str, ...]
    sentences: int
    softmax_sentences: int
    train: Settings


_QUICK = _Plan(
    *(512, (16, 32, 64, 128, 256, 512), (64, 256), ("additive", "general", "scaled_dot"), 150, 60),
    train={
        **{"max_steps": 300, "batch_tokens": 500, "warmup_steps": 50, "validation_sentences": 0},
        # One validation, so that the final weights are those after the last update.
        **{"validate_every_steps": 300, "checkpoint_every_steps": 300, "keep_checkpoints": 1},
    },
)
_SMOKE = _Plan(
    *(128, (16, 128), (128,), ("additive", "general"), 40, 20),
    train={
        **{"max_steps": 25, "batch_tokens": 500, "warmup_steps": 5, "validation_sentences": 0},
        **{"validate_every_steps": 25, "checkpoint_every_steps": 25, "keep_checkpoints": 1},
    },
)
_LEARNING_RATES = {"transformer": 1e-3, "rnn": 2e-3}
_MAX_WORDS = 14
_SUFFIXES = {"scaled_dot": "", "dot": ", no scale"}
_RNN_NAMES = {"additive": "additive", "general": "products", "scaled_dot": "scaled products"}


class ScalingStudy(Study):
    """Entropy, gradients and loss with and without 1/√d_k, over the width of a head."""

    name = "scaling"
    question = "What does dividing by √d_k change?"
    claims = CLAIMS

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """Transformers of one width whose heads are of different widths, with the scale and without; RNNs beside."""
        plan = _SMOKE if preset == "smoke" else _QUICK
        return _transformers(preset, plan) | _rnns(preset, plan)

    def why_not(self, run: TrainedRun) -> str | None:
        """A fixed context has no scores."""
        return "a fixed context has no attention scores" if run.config.model.attention == "none" else None

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """All runs, each on test sentences that are no longer than its training's."""
        plan = _SMOKE if preset == "smoke" else _QUICK
        measured = []
        for number, (name, run) in enumerate(runs.items(), start=1):
            measured.append(_measure(name, run, plan))
            progress("runs", number, len(runs))
        return StudyResult(
            self.name,
            self.question,
            f"{len(runs)} run{'s' * (len(runs) > 1)} on at most {plan.sentences} test sentences of "
            f"{corpora_of(runs.values())}, no longer than those of the training.",
            tuple(judge(measured)),
            (views.losses_table(measured), views.differences_table(measured), views.moments_table(measured)),
            (
                views.entropy_panel(measured),
                views.gradient_panel(measured),
                views.loss_panel(measured),
                *views.training_panels(measured),
            ),
            tuple(note for note in (views.stall(measured), *_NOTES) if note),
        )


_NOTES = (
    "Relative entropy is H / ln n over the n keys that a row may look at, 1 where all weights are equal and 0 where "
    "one key has all; rows with one key are left out. Models are fed with the reference. Before training means the "
    "random weights of the run's seed.",
    "passed: the norm of the gradient of the scores divided by that of the weights, from which each row's mean is "
    "subtracted, because no softmax passes it. Equal weights pass 1/n; a row with all weight on one key passes "
    "nothing; the most, a half, passes where two keys share the weight, and such rows dominate the norm. An RNN's is "
    "not measured.",
    "gradient, queries: norms of the gradient of the loss per token over all parameters, and over the projections of "
    "queries. The scale is a factor of the latter as well: without it a gradient that has passed the softmax arrives "
    "√d_k times larger, so that queries and keys can have large gradients although the softmax passes little.",
    "All transformers of a seed have the same number of parameters and start from the same random weights; only how "
    "they are divided among heads differs, and the scale. So wide heads are few: compare the two scores at each width, "
    "not widths with each other.",
    "Queries begin with variance 1 and keys with 2/3, because the initialisation counts keys and values as one matrix: "
    "products begin with two thirds of the variance that the argument for 1/√d_k assumes.",
    "AdamW divides each gradient by its size, so that small gradients alone do not slow training; another optimizer, "
    "learning rate, warm-up, initialisation or more updates may move the width at which it stalls. One learning rate "
    "serves all transformers, and one all RNNs.",
    "d_k of an RNN is d_model, because its one score compares whole states; its states are smaller than the unit "
    "variance that the argument for 1/√d_k assumes. The products feed the last attentional vector to the cell (Luong "
    "et al. 2015), so that every decoder is fed with what was read; additive scores use the state before the word.",
)


def _transformers(preset: Preset, plan: _Plan) -> dict[str, Config]:
    found = {}
    for width in plan.widths:
        for score, suffix in _SUFFIXES.items():
            shape = {"n_layers": 1, "d_model": plan.d_model, "n_heads": plan.d_model // width, "d_ff": plan.d_model}
            name = f"Transformer, d_k {width}{suffix}"
            found[f"transformer_{width}_{score}"] = _small("transformer", preset, plan, name, score, shape)
    return found


def _rnns(preset: Preset, plan: _Plan) -> dict[str, Config]:
    found = {}
    for width in plan.rnn_widths:
        for score in plan.rnn_scores:
            name = f"RNN, {_RNN_NAMES[score]}, {width}"
            shape = {"d_model": width, "input_feeding": True}
            found[f"rnn_{width}_{score}"] = _small("rnn", preset, plan, name, score, shape)
    return found


def _small(kind: str, preset: Preset, plan: _Plan, name: str, score: str, shape: Settings) -> Config:
    return small_model(
        kind,
        preset,
        name,
        model={"attention": score, **shape},
        train={**plan.train, "learning_rate": _LEARNING_RATES[kind]},
        data={"max_source_words": _MAX_WORDS},
    )


def _measure(name: str, run: TrainedRun, plan: _Plan) -> ScaledRun:
    sources, targets = _test_pairs(run, plan.sentences)
    shown = slice(plan.softmax_sentences)
    batches = [batch for _, batch in text_batches(run, sources[shown], targets[shown])]
    model = run.config.model
    return ScaledRun(
        run=name,
        kind=model.kind,
        score=model.attention,
        width=model.d_head if model.kind == "transformer" else model.d_model,
        group=repr(run.config.model_dump(exclude={"name": True, "model": {"attention", "n_heads"}})),
        before=measure_softmax(untrained(run).model, batches),
        after=measure_softmax(run.model, batches),
        losses=text_losses(run, sources, targets),
        tokens=target_tokens(run, targets),
        curve=tuple(
            (metrics["step"], math.log(metrics["perplexity/train"]))
            for metrics in run.folder.read_metrics()
            if metrics.get("perplexity/train", 0.0) >= 1.0
        ),
    )


def _test_pairs(run: TrainedRun, n_sentences: int) -> tuple[list[str], list[str]]:
    """The first test pairs whose source is no longer than those that the run was trained on."""
    rows = load_corpus(run.config.data).splits["test"]
    most = run.config.data.max_source_words
    chosen = [
        (source, target)
        for source, target in zip(rows["source"], rows["target"], strict=True)
        if most is None or len(source.split()) <= most
    ][:n_sentences]
    return [source for source, _ in chosen], [target for _, target in chosen]
