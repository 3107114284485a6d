"""The training loop: from a prepared text and a new model to the run's final weights.

Everything that the next update depends on stands in `Trainer.state_dict`, so that a resumed run goes on as if it had
never been stopped.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2attn.config.schema import Config
from seq2attn.data.batch import Batch, collate
from seq2attn.data.sampler import BatchSampler
from seq2attn.errors import CheckpointError
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.checkpoint import load_state, load_weights, save_checkpoint, set_weights, weights_of
from seq2attn.training.log import TrainingLog, Window
from seq2attn.training.optimizer import build_optimizer
from seq2attn.training.prepare import PreparedText
from seq2attn.training.run_folder import RunFolder
from seq2attn.training.schedule import Spent, learning_rate, progress
from seq2attn.training.signals import StopRequest
from seq2attn.training.update import update_weights
from seq2attn.training.validation import ValidationResult, Validator

_REPORT_STEPS = 50  # updates between two lines of training figures


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended."""

    steps: int
    target_tokens: int
    seconds: float
    validation: ValidationResult | None
    """Of the final weights; None where the run was interrupted."""
    stopped_by: int | None = None
    """The signal that interrupted it; `--resume` goes on."""


class _Ranked(NamedTuple):
    """A validated checkpoint; the first field orders them, best first."""

    figure: float
    """What is to be small: the loss, or BLEU with its sign turned."""
    step: int
    loss: float
    bleu: float | None


class Trainer:
    """One model in training."""

    def __init__(
        self, config: Config, text: PreparedText, model: Seq2Seq, folder: RunFolder, device: torch.device
    ) -> None:
        self.config = config
        self.settings = config.train
        self.text = text
        self.model = model.to(device).train()
        self.folder = folder
        self.device = device
        self.optimizer = build_optimizer(model, config.train)
        self.validator = Validator(text, config, device)
        pairs = text.train
        self.sampler = BatchSampler(
            pairs.source_lengths,
            pairs.target_lengths + 1,
            config.train.batch_tokens,
            config.train.seed,
            config.train.short_first_epochs,
        )
        self.step = 0
        self.epoch, self.batch, self.epoch_batches = 0, 0, 1
        self.target_tokens = 0
        self.validated_step = 0
        self.validations_since_best = 0
        self.ranking: list[_Ranked] = []
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._window = Window()

    def run(self, log: TrainingLog) -> TrainingResult:
        """Train until the budget is spent, patience ends, or a signal asks to stop.

        Raises: TrainingError where the loss is no longer a number; CheckpointError where nothing can be saved.
        """
        self._started = time.monotonic()
        batches = self._batches()
        with StopRequest() as stop:
            while (share := self._progress()) < 1.0 and not self._out_of_patience():
                self._update(share, batches)
                self._report(log)
                if self.step % self.settings.validate_every_steps == 0:
                    self._validate(log)
                    self._window = Window()
                if self.step % self.settings.checkpoint_every_steps == 0:
                    self._save()
                if stop.signal_number is not None:
                    self._save()
                    return self._result(None, stop.signal_number)
            if self.validated_step != self.step:
                self._validate(log)
            self._save()
            return self._result(self._finish(log))

    @property
    def seconds(self) -> float:
        """Time spent on training and validation, earlier parts of a resumed run included."""
        return self._seconds_before + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        """Everything beside the weights that the next update depends on; tensors and plain values alone."""
        state = {
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "epoch": self.epoch,
            "batch": self.batch,
            "target_tokens": self.target_tokens,
            "seconds": self.seconds,
            "validated_step": self.validated_step,
            "validations_since_best": self.validations_since_best,
            "ranking": [tuple(ranked) for ranked in self.ranking],
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def resume(self) -> None:
        """Go back to the newest checkpoint; where there is none yet, stay at the start.

        Raises: CheckpointError where it is damaged or of another model.
        """
        steps = self.folder.steps()
        if not steps:
            return
        checkpoint = self.folder.step(steps[-1])
        set_weights(self.model, load_weights(checkpoint), str(checkpoint))
        state = load_state(checkpoint)
        fields = ("step", "epoch", "batch", "target_tokens", "validated_step", "validations_since_best")
        if missing := {*fields, "optimizer", "ranking", "seconds", "random"} - state.keys():
            raise CheckpointError(f"{checkpoint}: lacks {', '.join(sorted(missing))}; another version wrote it")
        self.optimizer.load_state_dict(state["optimizer"])
        for name in fields:
            setattr(self, name, state[name])
        self.ranking = [_Ranked(*ranked) for ranked in state["ranking"]]
        self._seconds_before = state["seconds"]
        # The share of the budget is asked for before the first batch is.
        self.epoch_batches = len(self.sampler.batches(self.epoch))
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)

    @property
    def _epochs(self) -> float:
        """Passes over the training pairs so far."""
        return self.epoch + self.batch / self.epoch_batches

    def _progress(self) -> float:
        return progress(Spent(self.step, self._epochs, self.seconds), self.settings)

    def _out_of_patience(self) -> bool:
        return self.settings.patience is not None and self.validations_since_best >= self.settings.patience

    def _batches(self) -> Iterator[Batch]:
        """Batches from the current position on, epoch after epoch; `epoch` and `batch` are the position of the next."""
        pairs = self.text.train
        while True:
            batches = self.sampler.batches(self.epoch)
            self.epoch_batches = len(batches)
            while self.batch < len(batches):
                rows = batches[self.batch]
                self.batch += 1
                batch = collate([pairs.source(row) for row in rows], [pairs.target(row) for row in rows])
                yield batch.to(self.device)
            self.epoch, self.batch = self.epoch + 1, 0

    def _update(self, share: float, batches: Iterator[Batch]) -> None:
        """One optimizer update over `accumulate` batches."""
        group = [next(batches) for _ in range(self.settings.accumulate)]
        rate = learning_rate(self.step + 1, share, self.settings)
        update = update_weights(self.model, self.optimizer, group, self.settings, self.step + 1, rate)
        self.step += 1
        self.target_tokens += update.target_tokens
        self._window.add(update.loss, update.target_tokens, update.norm, rate)

    def _report(self, log: TrainingLog) -> None:
        share = self._progress()
        left = self.seconds * (1.0 - share) / share if share else 0.0
        words = f"step {self.step} · {self._window.rate():,.0f} target tokens/s · loss {self._window.loss():.2f}"
        log.display.advance(share, words, left)
        if self.step % _REPORT_STEPS == 0:
            log.figures(self.step, {**self._window.figures(), "progress/epoch": self._epochs})
            self._window = Window()

    def _validate(self, log: TrainingLog) -> None:
        """Validate, and keep the checkpoint if it is among the best."""
        result = self.validator.validate(self.model)
        figures = {"loss/validation": result.loss, "perplexity/validation": math.exp(min(result.loss, 50.0))}
        if result.bleu is not None:
            figures["bleu/validation"] = result.bleu
        log.figures(self.step, figures)
        if result.translations:
            log.text(self.step, "translation", _side_by_side(self.validator, result))
        ranked = sorted([*self.ranking, _Ranked(self._figure(result), self.step, result.loss, result.bleu)])
        self.validated_step = self.step
        self.validations_since_best = 0 if ranked[0].step == self.step else self.validations_since_best + 1
        self.ranking = ranked[: self.settings.average_checkpoints]
        if any(kept.step == self.step for kept in self.ranking):
            self._save()
        best = " (best so far)" if self.validations_since_best == 0 else ""
        log.say(f"step {self.step}, epoch {self.epoch + 1}: {result}{best}")

    def _figure(self, result: ValidationResult) -> float:
        if self.settings.best_by == "bleu" and result.bleu is not None:
            return -result.bleu
        return result.loss

    def _save(self) -> None:
        """Write this step's checkpoint if there is none, and delete those that are neither new nor best."""
        folder = self.folder.step(self.step)
        if self.step not in self.folder.steps():
            save_checkpoint(folder, weights_of(self.model), self.state_dict(), {"step": self.step})
        newest = self.folder.steps()[-self.settings.keep_checkpoints :]
        best = [ranked.step for ranked in self.ranking]
        for step in self.folder.steps():
            if step not in newest and step not in best:
                shutil.rmtree(self.folder.step(step))

    def _finish(self, log: TrainingLog) -> ValidationResult:
        """Save the final weights: the average of the best checkpoints, or the best one where it is better."""
        best, steps = self.ranking[0], sorted(ranked.step for ranked in self.ranking)
        chosen, result = f"step {best.step}", ValidationResult(best.loss, best.bleu)
        set_weights(self.model, self._average([best.step]), chosen)
        if len(steps) > 1:
            name = f"the average of steps {', '.join(map(str, steps))}"
            set_weights(self.model, self._average(steps), name)
            of_average = self.validator.validate(self.model)
            if self._figure(of_average) < best.figure:
                chosen, result = name, of_average
            else:
                set_weights(self.model, self._average([best.step]), chosen)
        about = {"step": self.step, "weights": chosen, "validation_loss": result.loss, "validation_bleu": result.bleu}
        spent = {"seconds": self.seconds, "target_tokens": self.target_tokens}
        save_checkpoint(self.folder.final, weights_of(self.model), None, {**about, **spent})
        log.say(f"final weights: {chosen}; {result}")
        return result

    def _average(self, steps: list[int]) -> Mapping[str, Tensor]:
        """The mean of the weights of the checkpoints of `steps`."""
        members = [load_weights(self.folder.step(step)) for step in steps]
        return {name: torch.stack([member[name] for member in members]).mean(0) for name in members[0]}

    def _result(self, validation: ValidationResult | None, stopped_by: int | None = None) -> TrainingResult:
        return TrainingResult(self.step, self.target_tokens, self.seconds, validation, stopped_by)


def _side_by_side(validator: Validator, result: ValidationResult, count: int = 5) -> str:
    """The first few validation sentences with their translations, as a Markdown table."""
    lines = ["| source | reference | translation |", "| --- | --- | --- |"]
    shown = list(zip(validator.sources, validator.references, result.translations, strict=True))[:count]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in shown)])
