"""The training loop: from a prepared text and a new model to the final weights of the run.

Everything that the next update depends on is in `Trainer.state_dict`, so that a resumed run computes what an
uninterrupted one would.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from seq2attn.training.log import MetricsWindow, TrainingLog
from seq2attn.training.observer import Observer, Validated
from seq2attn.training.prepare import PreparedText
from seq2attn.training.process import StopRequest
from seq2attn.training.ranks import ONE_PROCESS, Ranks
from seq2attn.training.schedule import Spent, Stopwatch, build_optimizer, learning_rate, progress
from seq2attn.training.update import FailedUpdateError, forward_of, update_weights
from seq2attn.training.validation import RankedStep, ValidationResult, Validator, choose_final_weights, rank

_REPORT_STEPS = 50  # updates between two lines of training metrics
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
    """The signal that interrupted the run, which `--resume` continues."""


class Trainer:
    """One model in training. With several processes, each has a trainer, and all do the same steps together."""

    def __init__(
        self,
        config: Config,
        text: PreparedText,
        model: Seq2Seq,
        folder: RunFolder,
        device: torch.device,
        observer: Observer | None = None,
        ranks: Ranks = ONE_PROCESS,
    ) -> None:
        self.settings = config.train
        self.ranks = ranks
        self.text = text
        self.model = model.to(device).train()
        self.folder = folder
        self.device = device
        self.observer = observer
        self.forward = forward_of(model, config.train, device)
        self.optimizer = build_optimizer(model, config.train)
        self.loader = Loader(text.train, config.train, device, ranks.rank, ranks.size)
        self.validator = Validator(text, config, device, ranks)
        self.made_for = made_for(config.model, text.subwords)
        self.checkpoints = CheckpointManager(folder, config.train.keep_checkpoints, self.made_for)
        self.monitor = DivergenceMonitor(config.train, text.subwords.target_size)
        self.window = MetricsWindow()
        self.stopwatch = Stopwatch()
        self.step = 0
        self.target_tokens = 0
        self.validated_step = 0
        self.validations_since_best = 0
        self.ranking: list[RankedStep] = []
        self._last_validation = ""

    def run(self, log: TrainingLog) -> TrainingResult:
        """Train until the budget is spent, patience ends, or a signal asks to stop.

        Raises: TrainingError where it cannot succeed; CheckpointError where nothing can be saved; DiskError where
        there is no room for checkpoints.
        """
        n_weights, n_best = self.model.count_parameters(), self.settings.average_checkpoints
        self.ranks.first(lambda: self.checkpoints.check_free_space(n_weights, n_best))
        self.stopwatch.start()
        spent = self._progress()
        with StopRequest() as stop:
            while spent < 1.0 and not self._out_of_patience():
                self._update(spent, log)
                spent = self._progress()
                self._report(spent, log)
                # The last step is validated before its checkpoint, so that a run resumed from it validates once.
                if self.step % self.settings.validate_every_steps == 0 or spent >= 1.0:
                    self._validate(spent, log)
                    spent = self._progress()  # validation spends minutes too
                if self.step % self.settings.checkpoint_every_steps == 0:
                    self._save()
                if signal_number := max(map(int, self.ranks.gather(stop.signal_number or 0))):
                    self._save()
                    return self._result(None, signal_number)
            if self.validated_step != self.step or not self.ranking:
                self._validate(spent, log)
            self._save()
            return self._result(self._finish(log))

    def state_dict(self) -> dict[str, Any]:
        """Everything besides the weights that the next update depends on; only tensors and plain values."""
        state = {
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "loader": self.loader.state_dict(),
            "target_tokens": self.target_tokens,
            "seconds": self.stopwatch.seconds,
            "validated_step": self.validated_step,
            "validations_since_best": self.validations_since_best,
            "ranking": [tuple(ranked) for ranked in self.ranking],
            "window": self.window.state_dict(),
            "divergence": self.monitor.state_dict(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def resume(self, warn: Callable[[str], object]) -> None:
        """Continue from the newest intact checkpoint; where there is none yet, stay at the start.

        `warn` receives a line on each damaged checkpoint.

        Raises: CheckpointError where all are damaged; MismatchError where one belongs to another model or version.
        """
        checkpoint = self.ranks.first(lambda: self.checkpoints.newest(warn))
        if checkpoint is None:
            return
        state = self.ranks.first(lambda: self._load_checkpoint(checkpoint))
        self.ranks.share_weights(self.model)
        try:
            self._load_state_dict(state)
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise self.ranks.shared_error(
                MismatchError(f"{checkpoint}: its training state belongs to another version or model ({error!r})")
            ) from error
        lost = self.ranks.first(
            lambda: [best.step for best in self.ranking if not self.checkpoints.is_intact(best.step)]
        )
        if lost:
            warn(f"the final weights will be chosen without the checkpoints of steps {', '.join(map(str, lost))}")
        self.ranking = [ranked for ranked in self.ranking if ranked.step not in lost]

    def _load_checkpoint(self, checkpoint: Path) -> dict[str, Any]:
        """The training state of `checkpoint`, whose weights are copied into the model."""
        check_made_for(checkpoint, self.made_for)
        set_weights(self.model, load_weights(checkpoint), str(checkpoint))
        return load_state(checkpoint)

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        # Checkpoints of earlier versions hold the loader's position at the top level.
        self.loader.load_state_dict(state.get("loader", state))
        for name in ("step", "target_tokens", "validated_step", "validations_since_best"):
            setattr(self, name, state[name])
        self.ranking = [RankedStep(*ranked) for ranked in state["ranking"]]
        self.stopwatch.seconds_before = state["seconds"]
        # Those of the first versions have neither of these.
        if "window" in state:
            self.window.load_state_dict(state["window"])
        if (counts := state.get("divergence", state.get("guard"))) is not None:
            self.monitor.load_state_dict(counts)
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)

    def _progress(self) -> float:
        """Share of the budget that is spent; the clock of the first process counts."""
        seconds = self.ranks.gather(self.stopwatch.seconds)[0]
        return progress(Spent(self.step, self.loader.progress(), seconds), self.settings)

    def _out_of_patience(self) -> bool:
        return self.settings.patience is not None and self.validations_since_best >= self.settings.patience

    def _update(self, spent: float, log: TrainingLog) -> None:
        """One optimizer update; one that fails is skipped and counts as a step.

        Raises: TrainingError where the run cannot succeed any more; its state is saved.
        """
        loaded = self.loader.next_batches(self.settings.accumulate)
        self.step += 1
        rate = learning_rate(self.step, spent, self.settings)
        failure = None
        try:
            update = update_weights(
                self.model, self.optimizer, loaded.batches, self.settings, self.step, rate, self.ranks, self.forward
            )
        except FailedUpdateError as error:
            saved = self.ranks.first(lambda: self._save_pairs(loaded.pairs))
            failure = f"{error}. It was skipped; its pairs are in {saved}"
            self.monitor.record(self.step, None, was_split=False)
        else:
            self.target_tokens += update.target_tokens
            self.window.add(update, rate, loaded.source_tokens, loaded.positions)
            self.monitor.record(self.step, update.loss, update.was_split)
            if update.was_split:
                failure = f"update {self.step}: memory sufficed only for parts of its batch; lower train.batch_tokens"
        if failure is not None:
            log.message(failure)
        if (reason := self.monitor.reason_to_stop(failure)) is not None:
            self._save()
            checkpoint = self.folder.step(self.step)
            raise self.ranks.shared_error(TrainingError(f"{reason}. The state is saved in {checkpoint}"))

    def _save_pairs(self, indices: list[int]) -> str:
        """Write the training pairs at `indices` into the run folder; returns the file and the first indices."""
        pairs = self.text.corpus.splits["train"].select(indices)
        rows = [
            {"pair": index, "source": pair["source"], "target": pair["target"]}
            for index, pair in zip(indices, pairs, strict=True)
        ]
        file = self.folder.failed_batch_file
        write_whole(file, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())
        more = f" and {len(indices) - _LISTED_PAIRS} more" if len(indices) > _LISTED_PAIRS else ""
        return f"{file}: {', '.join(map(str, indices[:_LISTED_PAIRS]))}{more}"

    def _report(self, spent: float, log: TrainingLog) -> None:
        left = self.stopwatch.seconds * (1.0 - spent) / spent if spent else 0.0
        text = f"step {self.step} · {self.window.rate():,.0f} tokens/s · loss {self.window.loss():.2f}"
        log.progress(spent, text + self._last_validation, left)
        if self.step % _REPORT_STEPS == 0:
            metrics = {**self.window.metrics(), **self.monitor.metrics(), "progress/epoch": self.loader.progress()}
            metrics["memory/peak_gib"] = peak_memory_bytes(self.device) / 2**30
            log.metrics(self.step, metrics)
            self.window = MetricsWindow()

    def _validate(self, spent: float, log: TrainingLog) -> None:
        """Validate, and save the checkpoint if it is among the best."""
        result = self.validator.validate(self.model)
        log.metrics(self.step, result.metrics())
        score = f"loss {result.loss:.2f}" if result.bleu is None else f"BLEU {result.bleu:.1f}"
        self._last_validation = f" · validation {score}"
        if self.settings.histograms:
            log.histograms(self.step, self.model)
        if self.observer is not None:
            # The last validation comes on top of the budget.
            seconds = self.stopwatch.seconds if spent < 1.0 else math.inf
            self.observer.validated(Validated(self.step, seconds, self.model, result, self.validator, log))
        ranking = rank(self.ranking, self.step, result, self.settings.best_by)
        is_best = ranking[0].step == self.step
        self.ranking = ranking[: self.settings.average_checkpoints]
        self.validated_step = self.step
        self.validations_since_best = 0 if is_best else self.validations_since_best + 1
        self.window = MetricsWindow()
        if any(ranked.step == self.step for ranked in self.ranking):
            self._save()
        best = f" (best {self.settings.best_by} so far)" if is_best else ""
        log.message(f"step {self.step}, epoch {math.ceil(self.loader.progress())}: {result}{best}")

    def _save(self) -> None:
        best = [ranked.step for ranked in self.ranking]
        self.ranks.first(lambda: self.checkpoints.save(self.step, self.model, self.state_dict(), best))

    def _finish(self, log: TrainingLog) -> ValidationResult:
        """Choose the final weights, log their metrics and save them."""
        of_average = None
        if len(self.ranking) > 1:
            self._set_average(sorted(ranked.step for ranked in self.ranking))
            of_average = self.validator.validate(self.model)
        chosen = choose_final_weights(self.ranking, of_average, self.settings.best_by)
        self._set_average(chosen.steps)
        scores = {"validation_loss": chosen.result.loss, "validation_bleu": chosen.result.bleu}
        spent = {"seconds": self.stopwatch.seconds, "target_tokens": self.target_tokens}
        about = {"step": self.step, "weights": str(chosen), **scores, **spent, **self.monitor.metrics()}
        # Metrics first: the final weights make the run a finished one, which --resume does not complete.
        log.metrics(self.step, chosen.result.final_metrics())
        self.ranks.first(lambda: self.checkpoints.save_final(self.model, about))
        log.message(f"final weights: {chosen}; {chosen.result}")
        log.end(self.model, self.text.subwords)
        return chosen.result

    def _set_average(self, steps: Sequence[int]) -> None:
        where = f"{self.folder.checkpoints}, steps {steps}"
        self.ranks.first(lambda: set_weights(self.model, self.checkpoints.average(steps), where))
        self.ranks.share_weights(self.model)

    def _result(self, validation: ValidationResult | None, stopped_by: int | None = None) -> TrainingResult:
        return TrainingResult(self.step, self.target_tokens, self.stopwatch.seconds, validation, stopped_by)
