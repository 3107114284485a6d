"""Reading and writing `summary.json`, whose keys other programs rely on"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from seq2attn.errors import DataError
from seq2attn.evaluation.differences import Difference
from seq2attn.evaluation.lengths import EVERY_LENGTH, LengthOf, LengthUnit
from seq2attn.evaluation.resampling import Resample
from seq2attn.evaluation.score import BLEU, Bucket, Score
from seq2attn.evaluation.slope import Slope, SmoothedPoint
from seq2attn.results.bottleneck import BottleneckClaim
from seq2attn.results.claims import Claim
from seq2attn.results.summary import Output, Summary, System, Training


def to_json(summary: Summary) -> str:
    """The summary as indented JSON; never NaN or infinity."""
    record = _without(asdict(_written(summary)), _ABSENT)
    for system in record["systems"]:
        system["buckets"] = [_without(bucket, _ABSENT_OF_BUCKETS) for bucket in system["buckets"]]
    return json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def from_json(text: str, where: str = "summary.json") -> Summary:
    """The summary that `to_json` wrote; unknown keys are ignored, so that newer files can be read.

    Raises: DataError with `where` and the first key that is wrong.
    """
    try:
        return _read(_FILE.validate_json(text))
    except ValidationError as error:
        first: Mapping[str, object] = dict(error.errors(include_url=False)[0])
        location = first["loc"]
        path = ".".join(map(str, location)) if isinstance(location, tuple) and location else "the file"
        raise DataError(f"{where}: {path}: {first['msg']}; write it again with seq2attn eval --by-length") from error


# The records below have the keys of the file, in its order.
@dataclass(frozen=True)
class _Score:
    value: float
    low: float | None
    high: float | None
    spread: float | None = None


@dataclass(frozen=True)
class _Bucket:
    low: int
    high: int | None
    n: int
    bleu: float | None
    bleu_low: float | None
    bleu_high: float | None
    length_ratio: float | None
    bleu_spread: float | None = None
    repeated: float | None = None
    capped: float | None = None
    alone: float | None = None


@dataclass(frozen=True)
class _Metric:
    """One system's scores under a further metric, in the same buckets."""

    metric: str
    lower_is_better: bool
    overall: _Score | None
    buckets: tuple[_Score | None, ...]


@dataclass(frozen=True)
class _System:
    name: str
    run: str
    kind: str | None
    attention: str | None
    parameters: int | None
    bleu: float | None
    bleu_low: float | None
    bleu_high: float | None
    buckets: tuple[_Bucket, ...]
    max_source_words: int | None = None
    training: Training | None = None
    bleu_spread: float | None = None
    outputs: tuple[Output, ...] = ()
    slope: Slope | None = None
    smoothed: tuple[SmoothedPoint, ...] = ()
    beside: tuple[_Metric, ...] = ()


@dataclass(frozen=True)
class _Summary:
    corpus: str
    split: str
    length_of: LengthOf
    machine: str
    command: str
    signature: str
    systems: tuple[_System, ...]
    relations: tuple[Claim, ...] = ()
    length_unit: LengthUnit = "words"
    differences: tuple[Difference, ...] = ()
    signatures: dict[str, str] = field(default_factory=dict)
    resample: Resample = "sentences"
    joined: bool = False
    claims: tuple[BottleneckClaim, ...] = ()


# Keys that are left out where they have this value, as in files from before there were such keys.
_ABSENT: Mapping[str, object] = {"resample": "sentences", "joined": False, "claims": ()}
_ABSENT_OF_BUCKETS: Mapping[str, object] = {"repeated": None, "capped": None, "alone": None}

_FILE = TypeAdapter(_Summary)


# What a summary and a system have under the same names as their file.
_SAME = [item.name for item in fields(Summary) if item.name not in ("systems", "claims", "bottleneck")]
_SAME_OF_SYSTEM = [item.name for item in fields(System) if item.name not in ("overall", "buckets")]


def _written(summary: Summary) -> _Summary:
    same: dict[str, Any] = {name: getattr(summary, name) for name in _SAME}
    systems = tuple(_written_system(system) for system in summary.systems)
    return _Summary(systems=systems, relations=summary.claims, claims=summary.bottleneck, **same)


def _written_system(system: System) -> _System:
    value, low, high, std = _fields(system.overall.bleu)
    same: dict[str, Any] = {name: getattr(system, name) for name in _SAME_OF_SYSTEM}
    return _System(
        bleu=value,
        bleu_low=low,
        bleu_high=high,
        buckets=tuple(_written_bucket(bucket) for bucket in system.buckets),
        bleu_spread=std,
        beside=tuple(_written_metric(system, metric) for metric in system.overall.scores if metric != BLEU),
        **same,
    )


def _written_bucket(bucket: Bucket) -> _Bucket:
    value, low, high, std = _fields(bucket.bleu)
    diagnoses = bucket.repeated, bucket.capped, bucket.alone
    return _Bucket(bucket.low, bucket.high, bucket.n, value, low, high, bucket.length_ratio, std, *diagnoses)


def _without(record: Mapping[str, Any], absent: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in absent or value != absent[key]}


def _written_metric(system: System, metric: str) -> _Metric:
    overall = system.overall.scores[metric]
    scores = [bucket.scores.get(metric) for bucket in system.buckets]
    buckets = tuple(None if score is None else _written_score(score) for score in scores)
    return _Metric(metric, overall.lower_is_better, _written_score(overall), buckets)


def _written_score(score: Score) -> _Score:
    return _Score(score.value, score.low, score.high, score.std)


def _fields(score: Score | None) -> tuple[float | None, float | None, float | None, float | None]:
    return (None,) * 4 if score is None else (score.value, score.low, score.high, score.std)


def _read(file: _Summary) -> Summary:
    same: dict[str, Any] = {name: getattr(file, name) for name in _SAME}
    systems = tuple(_read_system(system) for system in file.systems)
    return Summary(systems=systems, claims=file.relations, bottleneck=file.claims, **same)


def _read_system(system: _System) -> System:
    n = sum(bucket.n for bucket in system.buckets)
    bleu = _Bucket(*EVERY_LENGTH, n, system.bleu, system.bleu_low, system.bleu_high, None, system.bleu_spread)
    same: dict[str, Any] = {name: getattr(system, name) for name in _SAME_OF_SYSTEM}
    return System(
        overall=_read_bucket(bleu, [(metric, metric.overall) for metric in system.beside]),
        buckets=tuple(
            _read_bucket(bucket, [(metric, metric.buckets[place]) for metric in system.beside])
            for place, bucket in enumerate(system.buckets)
        ),
        **same,
    )


def _read_bucket(bucket: _Bucket, further: Sequence[tuple[_Metric, _Score | None]]) -> Bucket:
    scores = {}
    if bucket.bleu is not None:
        scores[BLEU] = Score(bucket.bleu, bucket.bleu_low, bucket.bleu_high, bucket.n, bucket.bleu_spread)
    for metric, score in further:
        if score is not None:
            scores[metric.metric] = Score(
                score.value, score.low, score.high, bucket.n, score.spread, metric.lower_is_better
            )
    diagnoses = bucket.repeated, bucket.capped, bucket.alone
    return Bucket(bucket.low, bucket.high, bucket.n, scores, bucket.length_ratio, *diagnoses)
