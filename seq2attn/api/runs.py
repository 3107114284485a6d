"""Training, and what can be asked of a trained run: translations, attention, scores."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args, overload

from seq2attn.api import EvaluationResult, ScoreResult, choose
from seq2attn.api.scores import Sentences, as_binning, as_unit, score, sentences_of
from seq2attn.attention.html import AttentionView
from seq2attn.config.load import load_config as read_config
from seq2attn.config.load import replace_budget
from seq2attn.config.schema import Config
from seq2attn.decoding.translate import Translator
from seq2attn.device import choose_device
from seq2attn.errors import ConfigError
from seq2attn.evaluation.lengths import LengthOf, LengthUnit
from seq2attn.evaluation.metrics import metrics_named
from seq2attn.evaluation.resampling import Resample
from seq2attn.experiment.evaluate import EvaluationSettings, evaluate_runs
from seq2attn.experiment.explore import check_words, explore_runs
from seq2attn.experiment.pictures import Pictures
from seq2attn.experiment.reproduce import presets_folder
from seq2attn.runs.folder import RunFolder, TrainedRun
from seq2attn.runs.folder import load_run as read_run
from seq2attn.training.train import train as run_training

RunLike: TypeAlias = "Run | str | Path"
Overrides: TypeAlias = Mapping[str, object] | Iterable[str]

_SPLITS = ("test", "validation", "confirm")


class Run:
    """A trained run: its model, loaded, and what can be asked of it.

    >>> run = load_run("runs/first")
    >>> len(run.translate(["rel ibol ar zobur cedul."]))
    1
    >>> run.attention("rel ibol ar zobur cedul.").map().columns[:3]
    ('rel', 'ibol', 'ar')
    """

    def __init__(self, trained: TrainedRun) -> None:
        self._trained = trained

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self._trained.folder.path

    @property
    def name(self) -> str:
        """What the run is called in tables and figures."""
        return self._trained.name

    @property
    def config(self) -> Config:
        """The configuration that it was trained with, every key resolved."""
        return self._trained.config

    @property
    def finished(self) -> bool:
        """Whether the training came to its end; else the weights are those of the newest checkpoint."""
        return self._trained.has_final_weights

    @property
    def n_parameters(self) -> int:
        """Weights of the model."""
        return self._trained.model.count_parameters()

    @overload
    def translate(self, sentences: str, beam_size: int | None = None) -> str: ...  # type: ignore[overload-overlap]

    @overload
    def translate(self, sentences: Iterable[str], beam_size: int | None = None) -> list[str]: ...

    def translate(self, sentences: str | Iterable[str], beam_size: int | None = None) -> str | list[str]:
        """The translation of each sentence, in order; of a single `str`, its translation.

        Args:
            sentences: raw text, as it would stand in a file.
            beam_size: hypotheses that the search keeps, 1 being greedy search; without it, the run's own.

        Raises: DataError where a sentence is not text; ConfigError for a beam size below 1.
        """
        texts = sentences_of([sentences] if isinstance(sentences, str) else sentences, "source", "sentences")
        run, search = self._trained, self.config.decode
        if beam_size is not None:
            search = search.model_copy(update={"beam_size": _checked_beam_size(beam_size)})
        translations = Translator(run.model, run.subwords, search).translate(texts)
        return translations[0] if isinstance(sentences, str) else translations

    def attention(self, sentence: str, target: str | None = None) -> AttentionView:
        """What the model looks at while it translates `sentence`; the last line of a notebook's cell shows it.

        Args:
            sentence: what is translated.
            target: a translation that the model is made to write; without it, its own.

        Raises: DataError where a text has no word.
        """
        check_words(sentence, target)
        return AttentionView(explore_runs({self.name: self._trained}, sentence, target))

    def score(
        self,
        sources: Sentences,
        references: Sentences | Sequence[Sentences],
        by_length: bool = True,
        metrics: str | Iterable[str] = ("bleu",),
        *,
        bins: str | Iterable[int] | None = None,
        beam_size: int | None = None,
    ) -> ScoreResult:
        """Translate `sources` and score the translations, as `seq2attn.score` does, with the run's languages.

        Raises: DataError where a file cannot be read, or texts differ in their number of sentences; ConfigError.
        """
        texts = sentences_of(sources, "source", "sources")
        env = self._trained.folder.read_env()
        return score(
            {self.name: self.translate(texts, beam_size)},
            references,
            texts,
            by_length,
            metrics,
            bins=bins,
            source_language=env.get("source_language", self.config.data.source_language),
            target_language=env.get("target_language", self.config.data.target_language),
        )

    def __repr__(self) -> str:
        state = "" if self.finished else f", unfinished, step {self._trained.about['step']}"
        return f"<Run {self.name}: {self.path}, {self.n_parameters:,} parameters{state}>"


def load_config(path: str | Path, overrides: Overrides = ()) -> Config:
    """The configuration in a YAML file, checked, every key resolved.

    >>> config = load_config("smoke/rnn_attention", {"train.seed": 7, "model.cell": "lstm"})
    >>> config.train.seed, config.model.cell
    (7, 'lstm')

    Args:
        path: a file; or a configuration that comes with the package, `PRESET/NAME`.
        overrides: settings by their dotted keys, as a mapping or as `KEY.PATH=VALUE`.

    Raises: ConfigError with the file, the key and what is expected there.
    """
    if isinstance(overrides, Mapping):
        words = [f"{key}={json.dumps(value, ensure_ascii=False, default=str)}" for key, value in overrides.items()]
    else:
        words = [overrides] if isinstance(overrides, str) else list(overrides)
    packaged = presets_folder() / f"{path}.yaml"
    return read_config(packaged if not Path(path).exists() and packaged.is_file() else path, words)


def train(
    config: Config | str | Path,
    run_dir: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    *,
    reuse: bool = False,
    minutes: float | None = None,
    quiet: bool = False,
) -> Run:
    """Train a model and load it. The first Ctrl-C writes a checkpoint, from which `resume=True` continues.

    >>> config = load_config("smoke/rnn_attention", {"train.max_minutes": None, "train.max_steps": 2})
    >>> train(config, "runs/second", quiet=True).finished
    True

    Args:
        config: what `load_config` returns, or takes.
        run_dir: the folder of the run; without it, `runs/NAME`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        resume: continue from the newest checkpoint in the folder, if there is one.
        reuse: return a finished run of the same configuration as it is, and resume an unfinished one: a notebook can
            then be run again.
        minutes: a budget in place of the configuration's.
        quiet: no progress on stderr.

    Raises: RunError where the folder holds a run and neither `resume` nor `reuse` is asked for; ConfigError, DataError,
    FetchError, CheckpointError, TrainingError.
    """
    settings = config if isinstance(config, Config) else load_config(config)
    if minutes is not None:
        settings = replace_budget(settings, minutes)
    folder = RunFolder.named(str(settings.name)) if run_dir is None else RunFolder(Path(run_dir))
    if reuse and folder.finished:
        if not folder.is_of(settings):
            raise ConfigError(f"{folder.path}: holds a run of other settings; choose another run_dir, or delete it")
        return load_run(folder.path, device)
    resume = resume or (reuse and folder.exists)
    result = run_training(settings, folder.path, device, resume, quiet, Pictures())
    if result.stopped_by is not None:
        print(f"stopped after step {result.steps}; resume=True continues", file=sys.stderr)
        # The signal now has the effect that it has elsewhere: Ctrl-C is a KeyboardInterrupt.
        signal.raise_signal(result.stopped_by)
    return load_run(folder.path, device)


def load_run(path: str | Path, device: str = "auto") -> Run:
    """The run in a folder, with its final weights, or its newest ones where it is not finished.

    >>> load_run("runs/first").finished
    True

    Raises: RunError, DataError, CheckpointError.
    """
    return Run(read_run(Path(path), choose_device(device)))


def evaluate(
    runs: RunLike | Iterable[RunLike] | Mapping[str, RunLike | Iterable[RunLike]],
    split: str = "test",
    by_length: bool = True,
    metrics: str | Iterable[str] = ("bleu",),
    *,
    bins: str | Iterable[int] | None = None,
    length_of: LengthOf = "source",
    length_unit: LengthUnit | None = None,
    subwords_model: str | Path | None = None,
    baseline: str | None = None,
    resample: Resample | None = None,
    beam_size: int | None = None,
    device: str = "auto",
) -> EvaluationResult:
    """Translate a split of the runs' corpus with each of them, and score it by sentence length.

    Translations are kept in the folders of the runs and reused.

    >>> result = evaluate({"attention": "runs/first"}, metrics="chrf", bins=[0, 5, 10])
    >>> result.systems, result.metrics
    (['attention'], ['BLEU', 'chrF2'])

    Args:
        runs: folders or runs; a mapping names them, and several under one name are seeds of one model.
        split: `test`, `validation`, or `confirm` if the runs were trained with `data.confirm`.
        resample: `sentences` or `documents`, for intervals; without it, documents where the corpus names them.
        beam_size: without it, each run's own.
        device: `auto`, `cpu`, `cuda` or `mps`.

    The other arguments are those of `score`. Raises: RunError where a path is no run; DataError where the runs are of
    different text; ConfigError.
    """
    folders = _folders(runs)
    settings = EvaluationSettings(
        split=choose("split", split, _SPLITS),
        bins=as_binning(bins, by_length),
        length_of=choose("length_of", length_of, get_args(LengthOf)),
        beam_size=None if beam_size is None else _checked_beam_size(beam_size),
        command=_command(folders, split, by_length),
        length_unit=None if length_unit is None else as_unit(length_unit, None),
        subwords_model=None if subwords_model is None else Path(subwords_model),
        further_metrics=metrics_named([metrics] if isinstance(metrics, str) else metrics),
        baseline=baseline,
        resample=None if resample is None else choose("resample", resample, get_args(Resample)),
        names={path: name for path, name in folders if name is not None},
    )
    evaluation = evaluate_runs([path for path, _ in folders], settings, choose_device(device), _ignore)
    return EvaluationResult(evaluation.summary, evaluation)


def _checked_beam_size(beam_size: int) -> int:
    if not isinstance(beam_size, int) or beam_size < 1:
        raise ConfigError(f"beam_size {beam_size}: expected a whole number from 1 up")
    return beam_size


def _folders(runs: Any) -> list[tuple[Path, str | None]]:
    """The folder of each run, and the name that it is given."""
    named = runs.items() if isinstance(runs, Mapping) else [(None, runs)]
    folders = []
    for name, of_name in named:
        several = [of_name] if isinstance(of_name, Run | str | os.PathLike) else list(of_name)
        folders += [(run.path if isinstance(run, Run) else Path(run), name) for run in several]
    if not folders:
        raise ConfigError("runs: there are none; give the folder of one or more")
    return folders


def _command(folders: Iterable[tuple[Path, str | None]], split: str, by_length: bool) -> str:
    """The command line that gives the same scores."""
    words = [str(path) if name is None else f"{name}={path}" for path, name in folders]
    return shlex.join(["seq2attn", "eval", *words, "--split", split, *["--by-length"] * by_length])


def _ignore(name: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
