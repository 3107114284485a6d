"""The OpenAPI document of the server, and a page rendered from it that needs no network"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic.json_schema import models_json_schema

import seq2attn
from seq2attn.server.messages import (
    Alternative,
    AttentionAnswer,
    ErrorAnswer,
    HealthAnswer,
    Limits,
    SentenceAnswer,
    TranslateAnswer,
    TranslateRequest,
)

_JSON = "application/json"
_ANSWERS = (TranslateAnswer, SentenceAnswer, Alternative, AttentionAnswer, ErrorAnswer, HealthAnswer)
_REFUSALS = {
    400: "The body is not JSON.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The Content-Type is not application/json.",
    422: "A field is unknown or has a wrong value, or the text is beyond a limit.",
    500: "The translation failed.",
    503: "The queue is full, the memory is exhausted, or the server is stopping. With Retry-After where it helps.",
}


def openapi_document(models: Sequence[str], limits: Limits) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a server of `models`."""
    messages = [(TranslateRequest, "validation"), *((answer, "serialization") for answer in _ANSWERS)]
    _, found = models_json_schema(messages, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas = {message.__name__: found["$defs"][message.__name__] for message in (TranslateRequest, *_ANSWERS)}
    request = schemas["TranslateRequest"]["properties"]
    request["model"]["examples"] = list(models)
    request["text"]["description"] += (
        f" At most {limits.sentences:,} sentences of {limits.characters:,} characters, in a body of at most "
        f"{limits.body_bytes:,} bytes. Runs of spaces and line ends count as one space."
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "seq2attn serve",
            "version": seq2attn.__version__,
            "description": f"Models: {', '.join(f'`{name}`' for name in models)}.",
        },
        "paths": {
            "/translate": {"post": _translate_operation()},
            "/healthz": {
                "get": {
                    "operationId": "healthz",
                    "summary": "Whether the server takes requests",
                    "responses": {
                        "200": _json_response("It does.", HealthAnswer),
                        "503": _json_response("It is stopping.", HealthAnswer),
                    },
                }
            },
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Requests, queue, batches and times for Prometheus",
                    "responses": {"200": {"description": "The metrics.", "content": {"text/plain": {}}}},
                }
            },
        },
        "components": {"schemas": schemas},
    }


def _translate_operation() -> dict[str, Any]:
    refusals = {str(status): _json_response(why, ErrorAnswer) for status, why in _REFUSALS.items()}
    return {
        "operationId": "translate",
        "summary": "Translate sentences",
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": _reference(TranslateRequest), "example": {"text": ["a sentence", "another"]}}
            },
        },
        "responses": {"200": _json_response("A translation for each sentence.", TranslateAnswer)} | refusals,
    }


def _json_response(description: str, answer: type) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": _reference(answer)}}}


def _reference(message: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{message.__name__}"}


def docs_page(document: Mapping[str, Any]) -> str:
    """`document` as an HTML page without scripts and links to other sites."""
    environment = Environment(
        loader=PackageLoader("seq2attn.server", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["type_name"] = _type_name
    environment.filters["with_code"] = _with_code
    return environment.get_template("docs.html").render(document=document)


def _type_name(schema: Mapping[str, Any]) -> str:
    """The type of a field in words, as in `string or array of string`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type_name(choice) for choice in schema["anyOf"])
    if schema["type"] == "array":
        return f"array of {_type_name(schema['items'])}"
    bounds = f" from {schema['minimum']:g} to {schema['maximum']:g}" if "minimum" in schema else ""
    return f"{schema['type']}{bounds}"


def _with_code(text: str) -> Markup:
    """`text` as HTML, with what stands in backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))
