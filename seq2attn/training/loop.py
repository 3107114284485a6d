"""The training loop: from a prepared text and a new model to the run's final weights.

Everything that the next update depends on stands in `Trainer.state_dict`, so that a resumed run goes on as if it had
never been stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from seq2attn.config.schema import Config
from seq2attn.data.cache import write_whole
from seq2attn.data.loader import Loader
from seq2attn.device import peak_memory_bytes
from seq2attn.errors import MismatchError, TrainingError
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.runs.checkpoint import check_made_for, load_state, load_weights, made_for, set_weights
from seq2attn.runs.checkpoint_manager import CheckpointManager
from seq2attn.runs.folder import RunFolder
from seq2attn.training.divergence import DivergenceMonitor
from seq2attn.training.log import TrainingLog, Window
from seq2attn.training.pictures import Pictures
from seq2attn.training.prepare import PreparedText
from seq2attn.training.schedule import Spent, build_optimizer, learning_rate, progress
from seq2attn.training.signals import StopRequest
from seq2attn.training.update import FailedUpdateError, update_weights
from seq2attn.training.validation import ValidationResult, Validator

_REPORT_STEPS = 50  # updates between two lines of training figures
_LISTED_PAIRS = 5  # of a failed update, in one line


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
        self.pictures = Pictures(self.validator, config)
        made = made_for(config.model, text.subwords)
        self.checkpoints = CheckpointManager(folder, config.train.keep_checkpoints, made)
        self.monitor = DivergenceMonitor(config.train, text.subwords.target_size)
        self.loader = Loader(text.train, config.train, device)
        self.step = 0
        self.target_tokens = 0
        self.validated_step = 0
        self.validations_since_best = 0
        self.ranking: list[_Ranked] = []
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._window = Window()
        self._last_validation = ""

    def run(self, log: TrainingLog) -> TrainingResult:
        """Train until the budget is spent, patience ends, or a signal asks to stop.

        Raises: TrainingError where it cannot succeed; CheckpointError where nothing can be saved; DiskError where
        there is no room for checkpoints.
        """
        self.checkpoints.check_free_space(self.model.count_parameters(), self.settings.average_checkpoints)
        self._started = time.monotonic()
        with StopRequest() as stop:
            while (share := self._progress()) < 1.0 and not self._out_of_patience():
                self._update(share, log)
                self._report(log)
                # The last step's too before its checkpoint, so that what is resumed from that validates once.
                if self.step % self.settings.validate_every_steps == 0 or self._progress() >= 1.0:
                    self._validate(log)
                if self.step % self.settings.checkpoint_every_steps == 0:
                    self._save()
                if stop.signal_number is not None:
                    self._save()
                    return self._result(None, stop.signal_number)
            if self.validated_step != self.step or not self.ranking:
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
            "loader": self.loader.state_dict(),
            "target_tokens": self.target_tokens,
            "seconds": self.seconds,
            "validated_step": self.validated_step,
            "validations_since_best": self.validations_since_best,
            "ranking": [tuple(ranked) for ranked in self.ranking],
            "window": self._window.state_dict(),
            "divergence": self.monitor.state_dict(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def resume(self, tell: Callable[[str], object]) -> None:
        """Go back to the newest whole checkpoint; where there is none yet, stay at the start.

        `tell` hears of checkpoints that are damaged.

        Raises: CheckpointError where all are damaged; MismatchError where one is of another model or version.
        """
        checkpoint = self.checkpoints.newest(tell)
        if checkpoint is None:
            return
        check_made_for(checkpoint, self.checkpoints.made_for)
        set_weights(self.model, load_weights(checkpoint), str(checkpoint))
        try:
            self._load_state_dict(load_state(checkpoint))
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise MismatchError(f"{checkpoint}: its state is that of another version or model ({error!r})") from error
        lost = [ranked.step for ranked in self.ranking if not self.checkpoints.is_intact(ranked.step)]
        if lost:
            tell(f"the final weights will be chosen without the checkpoints of steps {', '.join(map(str, lost))}")
        self.ranking = [ranked for ranked in self.ranking if ranked.step not in lost]

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        # Checkpoints of earlier versions hold the position at the top level.
        self.loader.load_state_dict(state.get("loader", state))
        for name in ("step", "target_tokens", "validated_step", "validations_since_best"):
            setattr(self, name, state[name])
        self.ranking = [_Ranked(*ranked) for ranked in state["ranking"]]
        self._seconds_before = state["seconds"]
        # Checkpoints of the first versions have neither of these.
        if "window" in state:
            self._window.load_state_dict(state["window"])
        if (counts := state.get("divergence", state.get("guard"))) is not None:
            self.monitor.load_state_dict(counts)
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)

    def _progress(self) -> float:
        return progress(Spent(self.step, self.loader.progress(), self.seconds), self.settings)

    def _out_of_patience(self) -> bool:
        return self.settings.patience is not None and self.validations_since_best >= self.settings.patience

    def _update(self, share: float, log: TrainingLog) -> None:
        """One optimizer update; one that fails is skipped and counts as a step.

        Raises: TrainingError where the run cannot succeed any more; its state is saved.
        """
        loaded = self.loader.next_batches(self.settings.accumulate)
        self.step += 1
        rate = learning_rate(self.step, share, self.settings)
        trouble = None
        try:
            update = update_weights(self.model, self.optimizer, loaded.batches, self.settings, self.step, rate)
        except FailedUpdateError as failure:
            trouble = f"{failure}. It was skipped; its pairs are in {self._keep_pairs(loaded.pairs)}"
            self.monitor.record(self.step, None, was_split=False)
        else:
            self.target_tokens += update.target_tokens
            self._window.add(update, rate, loaded.source_tokens, loaded.positions)
            self.monitor.record(self.step, update.loss, update.was_split)
            if update.was_split:
                trouble = f"update {self.step}: memory sufficed only for parts of its batch; lower train.batch_tokens"
        if trouble is not None:
            log.say(trouble)
        if (reason := self.monitor.reason_to_stop(trouble)) is not None:
            self._save()
            raise TrainingError(f"{reason}. The state is kept in {self.folder.step(self.step)}")

    def _keep_pairs(self, places: list[int]) -> str:
        """Write the training pairs at `places` into the run's folder; says where, and which they are."""
        pairs = self.text.corpus.splits["train"].select(places)
        rows = [
            {"pair": place, "source": pair["source"], "target": pair["target"]}
            for place, pair in zip(places, pairs, strict=True)
        ]
        file = self.folder.failed_batch_file
        write_whole(file, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())
        listed = ", ".join(map(str, places[:_LISTED_PAIRS]))
        return f"{file}: {listed}" + (f" and {len(places) - _LISTED_PAIRS} more" if len(places) > _LISTED_PAIRS else "")

    def _report(self, log: TrainingLog) -> None:
        share = self._progress()
        left = self.seconds * (1.0 - share) / share if share else 0.0
        words = f"step {self.step} · {self._window.rate():,.0f} tokens/s · loss {self._window.loss():.2f}"
        log.display.advance(share, words + self._last_validation, left)
        if self.step % _REPORT_STEPS == 0:
            figures = {**self._window.figures(), **self.monitor.metrics(), "progress/epoch": self.loader.progress()}
            figures["memory/peak_gib"] = peak_memory_bytes(self.device) / 2**30
            log.figures(self.step, figures)
            self._window = Window()

    def _validate(self, log: TrainingLog) -> None:
        """Validate, and keep the checkpoint if it is among the best."""
        result = self.validator.validate(self.model)
        log.figures(self.step, result.figures())
        score = f"loss {result.loss:.2f}" if result.bleu is None else f"BLEU {result.bleu:.1f}"
        self._last_validation = f" · validation {score}"
        # The last validation comes on top of the budget, and may take its time.
        seconds = self.seconds if self._progress() < 1.0 else math.inf
        self.pictures.show(log.board, self.step, seconds, self.model, result)
        ranked = sorted([*self.ranking, _Ranked(self._figure(result), self.step, result.loss, result.bleu)])
        self.validated_step = self.step
        self.validations_since_best = 0 if ranked[0].step == self.step else self.validations_since_best + 1
        self.ranking = ranked[: self.settings.average_checkpoints]
        self._window = Window()
        if any(kept.step == self.step for kept in self.ranking):
            self._save()
        best = f" (best {self.settings.best_by} so far)" if self.validations_since_best == 0 else ""
        log.say(f"step {self.step}, epoch {math.ceil(self.loader.progress())}: {result}{best}")

    def _figure(self, result: ValidationResult) -> float:
        if self.settings.best_by == "bleu" and result.bleu is not None:
            return -result.bleu
        return result.loss if math.isfinite(result.loss) else math.inf

    def _save(self) -> None:
        self.checkpoints.save(self.step, self.model, self.state_dict(), [ranked.step for ranked in self.ranking])

    def _finish(self, log: TrainingLog) -> ValidationResult:
        """Save the final weights: the average of the best checkpoints, or the best one where it is better."""
        best, steps = self.ranking[0], sorted(ranked.step for ranked in self.ranking)
        chosen, result = f"step {best.step}", ValidationResult(best.loss, best.bleu)
        set_weights(self.model, self.checkpoints.average([best.step]), chosen)
        if len(steps) > 1:
            name = f"the average of steps {', '.join(map(str, steps))}"
            set_weights(self.model, self.checkpoints.average(steps), name)
            of_average = self.validator.validate(self.model)
            if self._figure(of_average) < best.figure:
                chosen, result = name, of_average
            else:
                set_weights(self.model, self.checkpoints.average([best.step]), chosen)
        about = {"step": self.step, "weights": chosen, "validation_loss": result.loss, "validation_bleu": result.bleu}
        spent = {"seconds": self.seconds, "target_tokens": self.target_tokens}
        # First the figures: the weights are what makes the run a finished one, which no --resume completes.
        log.figures(self.step, result.final_figures())
        self.checkpoints.save_final(self.model, {**about, **spent, **self.monitor.metrics()})
        log.say(f"final weights: {chosen}; {result}")
        log.board.end(self.model, self.text.subwords)
        return result

    def _result(self, validation: ValidationResult | None, stopped_by: int | None = None) -> TrainingResult:
        return TrainingResult(self.step, self.target_tokens, self.seconds, validation, stopped_by)
