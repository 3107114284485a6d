"""A smaller run from a trained one: `seq2attn prune`"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seq2attn.config.models import TransformerConfig
from seq2attn.config.schema import Config
from seq2attn.config.settings import with_training
from seq2attn.errors import ConfigError, RunError, disk_errors
from seq2attn.models.build import build_model
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.pruning.heads import KINDS, Head, gated, heads_of, keep_heads, open_gates, weights_without_heads
from seq2attn.pruning.importance import removals, sample_batches
from seq2attn.runs.checkpoint import made_for, save_checkpoint, set_weights, weights_of
from seq2attn.runs.folder import RunFolder, TrainedRun
from seq2attn.runs.lock import locked
from seq2attn.runs.model_card import write_card
from seq2attn.training.prepare import PreparedText, prepare_text
from seq2attn.training.validation import ValidationResult, Validator

_IMPORTANCE_SENTENCES = 500
_BLEU_SENTENCES = 200
"""At least, where the run's own validations translate fewer."""

Progress = Callable[[str, int, int], object]
"""Takes the name of a part, how much of it is finished, and its total."""


@dataclass(frozen=True)
class PruneGoal:
    """When to stop removing heads; one of the two is set."""

    n_heads: int | None = None
    """How many to keep, of all attentions together."""
    bleu_share: float | None = None
    """The share of BLEU on validation that must be left."""


@dataclass(frozen=True)
class Pruned:
    """A pruned run beside the one that it was made from."""

    kept: tuple[Head, ...]
    n_heads_before: int
    before: ValidationResult
    after: ValidationResult
    parameters_before: int
    parameters_after: int

    def to_dict(self) -> dict[str, Any]:
        """Everything, for programs."""
        scores = {"before": self.before, "after": self.after}
        return {
            "heads": {"before": self.n_heads_before, "after": len(self.kept)},
            "parameters": {"before": self.parameters_before, "after": self.parameters_after},
            "validation_loss": {name: result.loss for name, result in scores.items()},
            "validation_bleu": {name: result.bleu for name, result in scores.items()},
            "kept_heads": {kind: [list(head[1:]) for head in self.kept if head.kind == kind] for kind in KINDS},
        }


def prune_run(run: TrainedRun, goal: PruneGoal, out: Path, progress: Progress) -> Pruned:
    """Write `run` without its least important heads as the new run `out`, chosen on its validation text.

    Heads go one by one, by the gradient of their gate, which is measured again after each (`removals`); every attention
    keeps one. With a share of BLEU, they go until the first that leaves less.

    Raises: RunError where the run is no finished transformer, or `out` holds a run; ConfigError where so few heads are
    impossible; DataError, FetchError.
    """
    config, model = run.config.model, run.model
    if not isinstance(config, TransformerConfig) or not isinstance(model, TransformerSeq2Seq):
        raise RunError(f"{run.folder.path}: model.kind is {config.kind}; only a transformer has heads to remove")
    if not run.has_final_weights:
        raise RunError(f"{run.folder.path}: its training is not finished; finish it with `seq2attn train --resume`")
    folder = RunFolder(out)
    if folder.exists:
        raise RunError(f"{out}: already holds a run; name a new folder with --out")
    heads = heads_of(config)
    _check_number(goal.n_heads, config)
    text = prepare_text(run.config, run.folder, resume=True)
    device = next(model.parameters()).device
    validator = Validator(text, _with_bleu(run.config), device)
    before = validator.validate(model)
    order = _removed(run, model, config, text)
    if goal.bleu_share is None:
        assert goal.n_heads is not None
        removed = _take(order, len(heads) - goal.n_heads, progress)
    else:
        removed = _remove_while(validator, model, heads, order, before, goal.bleu_share, progress)
    kept = tuple(head for head in heads if head not in removed)
    smaller_config = run.config.model_copy(
        update={
            "name": f"{run.name}, {len(kept)} of {len(heads)} heads",
            "model": keep_heads(config, kept),
        }
    )
    smaller = _smaller_model(run, model, config, smaller_config).to(device).eval()
    after = validator.validate(smaller)
    _write(run, folder, smaller_config, smaller, after, len(kept))
    return Pruned(kept, len(heads), before, after, model.count_parameters(), smaller.count_parameters())


def _check_number(n_heads: int | None, config: TransformerConfig) -> None:
    least, most = len(KINDS) * config.n_layers, len(heads_of(config))
    if n_heads is not None and not least <= n_heads <= most:
        raise ConfigError(
            f"--heads {n_heads}: expected {least} to {most}; the model has {most} heads, and each of its {least} "
            "attentions keeps at least one"
        )


def _with_bleu(config: Config) -> Config:
    """`config` with enough validation sentences for BLEU."""
    number = max(config.train.validation_sentences, _BLEU_SENTENCES)
    return with_training(config, validation_sentences=number)


def _removed(
    run: TrainedRun, model: TransformerSeq2Seq, config: TransformerConfig, text: PreparedText
) -> Iterator[Head]:
    device = next(model.parameters()).device
    batches = sample_batches(text.validation, _IMPORTANCE_SENTENCES, run.config.train.batch_tokens, device)
    return removals(model, config, batches, heads_of(config), keep_one=True)


def _take(order: Iterator[Head], number: int, progress: Progress) -> set[Head]:
    removed: set[Head] = set()
    while len(removed) < number:
        removed.add(next(order))
        progress("heads", len(removed), number)
    return removed


def _remove_while(
    validator: Validator,
    model: TransformerSeq2Seq,
    heads: tuple[Head, ...],
    order: Iterator[Head],
    before: ValidationResult,
    share: float,
    progress: Progress,
) -> set[Head]:
    """The heads that go before the first one without which BLEU is below `share` of that before."""
    assert before.bleu is not None
    removed: set[Head] = set()
    for head in order:
        with gated(model, open_gates(heads, {*removed, head}).to(model.output_bias)):
            bleu = validator.validate(model).bleu
        assert bleu is not None
        if bleu < share * before.bleu:
            break
        removed.add(head)
        progress("heads", len(removed), len(heads))
    return removed


def _smaller_model(run: TrainedRun, model: TransformerSeq2Seq, before: TransformerConfig, config: Config) -> Seq2Seq:
    after, subwords = config.model, run.subwords
    assert isinstance(after, TransformerConfig)
    with torch.random.fork_rng([]):  # building draws initial weights, which are replaced at once
        smaller = build_model(after, subwords.source_size, subwords.target_size, subwords.joint)
    weights = {name: weight.cpu() for name, weight in weights_of(model).items()}
    set_weights(smaller, weights_without_heads(weights, before, after), str(run.folder.path))
    return smaller


def _write(
    run: TrainedRun, folder: RunFolder, config: Config, model: Seq2Seq, scores: ValidationResult, n_kept: int
) -> None:
    """The run folder; the configuration, which makes it one, comes last."""
    folder.make()
    about: Mapping[str, Any] = {
        **{key: run.about[key] for key in ("step", "seconds", "target_tokens")},
        "weights": f"{run.about['weights']} of {run.folder.path}, without the removed heads",
        "validation_loss": scores.loss,
        "validation_bleu": scores.bleu,
        "made_for": made_for(config.model, run.subwords),
    }
    with locked(folder.path), disk_errors(folder.path):
        run.subwords.save(folder.path)
        save_checkpoint(folder.final, weights_of(model), None, about)
        command = ["seq2attn", "prune", str(run.folder.path), "--heads", str(n_kept)]
        pruned = {"parameters": model.count_parameters(), "pruned_by": shlex.join(command)}
        folder.write_env(run.folder.read_env() | pruned)
        folder.begin(config)
    write_card(folder)
