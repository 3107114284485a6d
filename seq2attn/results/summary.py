"""The result of an evaluation as plain records"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from seq2attn.evaluation.differences import Difference
from seq2attn.evaluation.lengths import LengthOf, LengthUnit
from seq2attn.evaluation.measure import MeasuredSystem, Measurement, MeasureSettings
from seq2attn.evaluation.metrics import Metric
from seq2attn.evaluation.resampling import Resample
from seq2attn.evaluation.score import BLEU, Bucket
from seq2attn.evaluation.slope import Slope, SmoothedPoint
from seq2attn.results.bottleneck import BottleneckClaim
from seq2attn.results.claims import Claim


@dataclass(frozen=True)
class Training:
    """The cost of a system's training, and its validation scores."""

    minutes: float
    steps: int
    target_tokens: int
    device: str
    validation_loss: float | None = None
    validation_bleu: float | None = None


@dataclass(frozen=True)
class Output:
    """One of several outputs of a system, usually a seed, and its BLEU on all sentences."""

    run: str
    bleu: float


@dataclass(frozen=True)
class SystemFacts:
    """What is known about a system in addition to its translations; for translations in files, only their paths."""

    runs: Sequence[str]
    """The folders of its runs, or the files of its translations: one for each output."""
    kind: str | None = None
    attention: str | None = None
    parameters: int | None = None
    max_source_words: int | None = None
    """The longest source sentence it was trained on, where there was a cap."""
    training: Training | None = None


@dataclass(frozen=True)
class System:
    """One system and its scores.

    For translations from a file, only the name and the scores are known.
    """

    name: str
    run: str
    """The folder of the run, or the file of translations; the first if there are several."""
    kind: str | None
    attention: str | None
    parameters: int | None
    overall: Bucket
    """All sentences, without their length ratio."""
    buckets: tuple[Bucket, ...]
    max_source_words: int | None = None
    """The longest source sentence it was trained on, where there was a cap."""
    training: Training | None = None
    outputs: tuple[Output, ...] = ()
    """Empty for a single output."""
    slope: Slope | None = None
    """BLEU lost with length."""
    smoothed: tuple[SmoothedPoint, ...] = ()
    """BLEU over a window around each length."""

    @classmethod
    def of(cls, measured: MeasuredSystem, facts: SystemFacts) -> System:
        """The measured system with the other facts about it."""
        outputs = [Output(run, bleu) for run, bleu in zip(facts.runs, measured.output_bleu, strict=False)]
        return cls(
            name=measured.name,
            run=facts.runs[0],
            kind=facts.kind,
            attention=facts.attention,
            parameters=facts.parameters,
            overall=replace(measured.overall, length_ratio=None),
            buckets=measured.buckets,
            max_source_words=facts.max_source_words,
            training=facts.training,
            outputs=tuple(outputs) if len(facts.runs) > 1 else (),
            slope=measured.slope,
            smoothed=measured.smoothed,
        )


@dataclass(frozen=True)
class EvaluatedText:
    """The translated text, and how the length of its sentences is counted."""

    corpus: str
    split: str
    """Empty where the text came in files."""
    length_of: LengthOf
    length_unit: LengthUnit
    n_references: int = 1
    resample: Resample = "sentences"


@dataclass(frozen=True)
class Summary:
    """One or more systems on the same split of a corpus: what `summary.json` holds."""

    corpus: str
    split: str
    """Empty where the text came in files."""
    length_of: LengthOf
    machine: str
    command: str
    signature: str
    """SacreBLEU's signature of BLEU."""
    systems: tuple[System, ...]
    claims: tuple[Claim, ...] = ()
    length_unit: LengthUnit = "words"
    differences: tuple[Difference, ...] = ()
    """Each system against a baseline, on all sentences and in each bucket."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """SacreBLEU's signature of each further metric."""
    resample: Resample = "sentences"
    """What the resamples behind intervals and p-values draw."""
    joined: bool = False
    """Whether the text is sentences joined by `data.join`: then `bottleneck` takes the place of `claims`."""
    bottleneck: tuple[BottleneckClaim, ...] = ()
    """The claims of docs/claims.md; the key `claims` of `summary.json`, where `claims` are the key `relations`."""

    @classmethod
    def of(
        cls,
        measurement: Measurement,
        settings: MeasureSettings,
        text: EvaluatedText,
        facts: Sequence[SystemFacts],
        claims: tuple[Claim, ...] = (),
        machine: str = "",
        command: str = "",
    ) -> Summary:
        """The summary of a measurement.

        Args:
            measurement: all systems.
            settings: how they were measured.
            text: what they translated.
            facts: of each system, in the same order.
            claims: about the systems' curves.
            machine: where they were translated.
            command: reproduces the result.
        """

        def signature(metric: Metric) -> str:
            return metric.signature(text.n_references, settings.n_resamples, settings.seed)

        return cls(
            corpus=text.corpus,
            split=text.split,
            length_of=text.length_of,
            machine=machine,
            command=command,
            signature=signature(settings.bleu),
            systems=tuple(map(System.of, measurement.systems, facts)),
            claims=claims,
            length_unit=text.length_unit,
            differences=measurement.differences,
            signatures={metric.name: signature(metric) for metric in settings.further_metrics},
            resample=text.resample,
        )

    @property
    def text_name(self) -> str:
        """The name of the translated text."""
        return f"{self.corpus}, {self.split}" if self.split else self.corpus

    @property
    def metrics(self) -> list[str]:
        """The metrics that the systems are scored by, BLEU first."""
        return list(dict.fromkeys([BLEU, *self.systems[0].overall.scores]))

    def to_json(self) -> str:
        """The summary as indented JSON; never NaN or infinity."""
        from seq2attn.results.summary_file import to_json

        return to_json(self)

    @classmethod
    def from_json(cls, text: str, where: str = "summary.json") -> Summary:
        """The summary that `to_json` wrote; unknown keys are ignored, so that newer files can be read.

        Raises: DataError with `where` and the first key that is wrong.
        """
        from seq2attn.results.summary_file import from_json

        return from_json(text, where)
