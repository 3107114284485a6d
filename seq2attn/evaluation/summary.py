"""The result of an evaluation as plain records, to and from `summary.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from seq2attn.errors import DataError
from seq2attn.evaluation.differences import Difference
from seq2attn.evaluation.length_curve import Bucket, MetricCurve
from seq2attn.evaluation.lengths import LengthOf, LengthUnit
from seq2attn.evaluation.measure import MeasuredSystem
from seq2attn.evaluation.slope import Slope, SmoothedPoint

RelationKind = Literal["retention", "share_fall", "above", "apart", "level", "past_cap", "longer_cap"]


@dataclass(frozen=True)
class Relation:
    """A claim about one system, or about one against another, with what was measured and whether it was found.

    By kind, what is claimed of `system`, and what `first`, `second` and `value` are:

    - retention: it keeps its BLEU on long sentences; BLEU on middling ones, BLEU on long ones, second / first.
    - share_fall: its share of the BLEU of `against` is lower on long sentences than on short ones; the share on short
      ones, the share on long ones, second - first.
    - above: its BLEU is above that of `against`; the BLEU of `against`, its own, second - first.
    - apart: its intervals do not touch those of `against`; none, none, the smallest gap between them.
    - level: its BLEU does not fall on long sentences (of up to 60 words); BLEU on middling ones, on long ones, second -
      first, where a significant fall would be the finding against it.
    - past_cap: its BLEU falls on sentences of more than `beyond` words, where its training ended; BLEU on middling ones
      up to there, on those beyond, second - first.
    - longer_cap: on sentences of more than `beyond` words, where the training of `against` ended, its BLEU is above
      that of `against`, the same model; as for above.

    The lengths meant are in `relations.py`; `low` and `high` are the 95 % bootstrap interval of `value`.
    """

    kind: RelationKind
    system: str
    against: str | None
    first: float | None
    second: float | None
    value: float
    low: float | None
    high: float | None
    p_value: float | None
    found: bool | None
    """None where it cannot be told."""
    beyond: int | None = None
    """The words after which a training ended, where the claim is about longer sentences."""


@dataclass(frozen=True)
class Training:
    """What a system's training cost, and the best validation figures it reached."""

    minutes: float
    steps: int
    target_tokens: int
    device: str
    validation_loss: float | None = None
    validation_bleu: float | None = None


@dataclass(frozen=True)
class Output:
    """One of several outputs of a system, as a rule of one seed, and its BLEU on all sentences."""

    run: str
    bleu: float


@dataclass(frozen=True)
class System:
    """One system and its scores; BLEU is None only where the split is empty.

    Of translations that came in a file, only the name and the scores are known.
    """

    name: str
    run: str
    """The folder of the run, or the file of translations; of several, the first."""
    kind: str | None
    attention: str | None
    parameters: int | None
    bleu: float | None
    bleu_low: float | None
    bleu_high: float | None
    buckets: tuple[Bucket, ...]
    max_source_words: int | None = None
    """The longest source sentence it was trained on, where there was a cap."""
    training: Training | None = None
    bleu_spread: float | None = None
    """Standard deviation of BLEU over the outputs, where there are several; BLEU is then their mean."""
    outputs: tuple[Output, ...] = ()
    """Empty where there is but one."""
    slope: Slope | None = None
    """BLEU lost as sentences grow."""
    smoothed: tuple[SmoothedPoint, ...] = ()
    """BLEU over a window around each length."""
    beside: tuple[MetricCurve, ...] = ()
    """Scores under other metrics."""

    @classmethod
    def of(
        cls,
        measured: MeasuredSystem,
        runs: Sequence[str],
        kind: str | None = None,
        attention: str | None = None,
        parameters: int | None = None,
        max_source_words: int | None = None,
        training: Training | None = None,
    ) -> System:
        """The system whose outputs came from `runs`, as it was measured, with what else is known of it."""
        overall = measured.curve.overall
        claimed = overall.as_claimed()
        outputs = tuple(Output(run, bleu) for run, bleu in zip(runs, measured.output_bleu, strict=False))
        return cls(
            name=measured.name,
            run=runs[0],
            kind=kind,
            attention=attention,
            parameters=parameters,
            bleu=claimed.bleu,
            bleu_low=claimed.bleu_low,
            bleu_high=claimed.bleu_high,
            buckets=tuple(bucket.as_claimed() for bucket in measured.curve.buckets),
            max_source_words=max_source_words,
            training=training,
            bleu_spread=claimed.bleu_spread,
            outputs=outputs if len(runs) > 1 else (),
            slope=measured.slope,
            smoothed=measured.smoothed,
            beside=measured.beside,
        )

    @property
    def n_sentences(self) -> int:
        """Sentences in all buckets."""
        return sum(bucket.n for bucket in self.buckets)


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
    systems: tuple[System, ...]
    relations: tuple[Relation, ...] = ()
    length_unit: LengthUnit = "words"
    differences: tuple[Difference, ...] = ()
    """Each system against a baseline, on all sentences and in each bucket."""
    signatures: dict[str, str] = field(default_factory=dict)
    """SacreBLEU's signature of each metric beside BLEU."""

    @property
    def text_name(self) -> str:
        """What was translated."""
        return f"{self.corpus}, {self.split}" if self.split else self.corpus

    def to_json(self) -> str:
        """The summary as indented JSON; never NaN or infinity."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "summary.json") -> Summary:
        """The summary that `to_json` wrote; unknown keys are passed over, so that newer files can be read.

        Raises: DataError with `where` and the first key that is wrong.
        """
        try:
            return _SUMMARY.validate_json(text)
        except ValidationError as error:
            first: Mapping[str, object] = dict(error.errors(include_url=False)[0])
            location = first["loc"]
            path = ".".join(map(str, location)) if isinstance(location, tuple) and location else "the file"
            raise DataError(
                f"{where}: {path}: {first['msg']}; write it again with seq2attn eval --by-length"
            ) from error


_SUMMARY = TypeAdapter(Summary)
