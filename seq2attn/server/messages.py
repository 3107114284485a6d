"""Requests and answers of the server, and what is wrong with a request in one line"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from seq2attn.config.load import in_short

# A search keeps all its hypotheses in memory; more than these have no use in translation.
_MAX_HYPOTHESES = 32
_MAX_LENGTH_PENALTY = 10.0
_TEXT = "a sentence or a list of sentences"


@dataclass(frozen=True)
class Limits:
    """What a request may ask for."""

    body_bytes: int = 2**20
    sentences: int = 256
    """In a request."""
    characters: int = 5000
    """In a sentence."""
    waiting: int = 1024
    """Sentences of all requests that wait for their translation."""


class RequestError(Exception):
    """A request that is refused, with the status of the answer and its one line."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        """Seconds after which the same request may succeed; None: never."""


class _Message(BaseModel):
    """Frozen; rejects unknown fields, and values of another type. The docstring under a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _as_list(text: object) -> object:
    return [text] if isinstance(text, str) else text


class TranslateRequest(_Message):
    """Sentences to translate, and how."""

    text: Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
    """A sentence, or a list of sentences."""
    model: str | None = None
    """Name of a served model; by default the first one."""
    beam_size: Annotated[int, Field(ge=1, le=_MAX_HYPOTHESES)] | None = None
    """Hypotheses kept at each step; 1 is greedy search. By default the model's `decode.beam_size`."""
    n_best: Annotated[int, Field(ge=1, le=_MAX_HYPOTHESES)] = 1
    """Translations of each sentence: the best one and its `alternatives`."""
    length_penalty: Annotated[float, Field(ge=0.0, le=_MAX_LENGTH_PENALTY)] | None = None
    """Exponent of the length by which a log-probability is divided. By default the model's `decode.length_penalty`."""
    attention: bool = False
    """Whether each translation comes with a map of the attention between words."""


class Alternative(_Message):
    """One translation of a sentence."""

    text: str
    score: float
    """Log-probability over length ** length_penalty; with greedy search the log-probability."""
    log_probability: float
    tokens: int
    """Subwords of the translation."""
    finished: bool
    """False: cut off at the maximum length."""
    parts: int
    """Parts in which a sentence too long for the model was translated; the numbers above are sums over them."""


class AttentionAnswer(_Message):
    """Attention between the words of a translation and those of its source."""

    title: str
    """Which layer and heads."""
    rows: list[str]
    """Words of the translation."""
    columns: list[str]
    """Words of the source."""
    weights: list[list[float]]
    """A row for each word of the translation, with a sum of 1."""


class SentenceAnswer(Alternative):
    """The best translation of a sentence."""

    alternatives: list[Alternative] = []
    """With `n_best` above 1: the next best translations, best first."""
    attention: AttentionAnswer | None = None
    """With `attention`; null for a model without attention, an empty sentence, and one translated in parts."""


class TranslateAnswer(_Message):
    """A translation for each sentence, in their order."""

    model: str
    """Name of the model that translated."""
    translations: list[SentenceAnswer]


class ErrorAnswer(_Message):
    """Why there is no translation."""

    error: str
    """One line."""


class HealthAnswer(_Message):
    """Whether the server takes requests."""

    status: str
    """`ok`, or `stopping` with status 503."""
    models: list[str]
    """Names of the served models; the first one is the default."""


def parse_request(body: bytes, models: Sequence[str], limits: Limits) -> TranslateRequest:
    """The request in `body`.

    Raises: RequestError 400 where it is not JSON, 422 where it is not a request or beyond `limits`.
    """
    try:
        request = TranslateRequest.model_validate_json(body)
    except ValidationError as error:
        problems = [dict(details) for details in error.errors(include_url=False)]
        # A misspelt field is often also missing.
        worst = min(problems, key=lambda details: details["type"] != "extra_forbidden")
        raise RequestError(400 if worst["type"] == "json_invalid" else 422, _explain(worst)) from error
    if request.model is not None and request.model not in models:
        served = ", ".join(map(repr, models))
        raise RequestError(422, f"model: {in_short(request.model)} is not served; expected one of {served}")
    if len(request.text) > limits.sentences:
        raise RequestError(
            422, f"text: {len(request.text):,} sentences; at most {limits.sentences:,} in a request, so send several"
        )
    for index, sentence in enumerate(request.text):
        if len(sentence) > limits.characters:
            raise RequestError(
                422, f"text[{index}]: {len(sentence):,} characters; at most {limits.characters:,}, so split the text"
            )
    return request


def _explain(details: dict[str, Any]) -> str:
    """A pydantic error in one line, with the nearest known field for an unknown one."""
    location, kind = details["loc"], details["type"]
    if kind == "json_invalid":
        return f"the body is not valid JSON ({details['ctx']['error']})"
    if not location:
        return f"expected a JSON object with the field text, found {in_short(details['input'])}"
    field = str(location[0]) + "".join(f"[{index}]" for index in location[1:])
    if kind == "extra_forbidden":
        near = get_close_matches(field, TranslateRequest.model_fields, n=1, cutoff=0.5)
        known = f"did you mean {near[0]}?" if near else f"known: {', '.join(TranslateRequest.model_fields)}"
        return f"unknown field {in_short(field)}; {known}"
    if kind == "missing":
        return f"{field}: missing; expected {_TEXT}"
    if kind == "list_type":
        return f"{field}: expected {_TEXT}, found {in_short(details['input'])}"
    return f"{field}: {details['msg'][0].lower()}{details['msg'][1:]}, found {in_short(details['input'])}"
