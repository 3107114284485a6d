"""The paths of the server: what each answers, and errors as JSON with one line"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seq2attn.attention.maps import AttentionMap
from seq2attn.errors import is_out_of_memory
from seq2attn.runs.folder import TrainedRun
from seq2attn.server.batching import Batcher, QueueFullError, Search, Translated
from seq2attn.server.messages import (
    Alternative,
    AttentionAnswer,
    ErrorAnswer,
    HealthAnswer,
    Limits,
    RequestError,
    SentenceAnswer,
    TranslateAnswer,
    TranslateRequest,
    parse_request,
)
from seq2attn.server.metrics import CONTENT_TYPE, Metrics
from seq2attn.server.openapi import docs_page, openapi_document

_BODY_SECONDS = 30
_RETRY_SECONDS = 1
_CLIENT_CLOSED_REQUEST = 499  # nginx's; never sent, but counted
# The page is static and needs nothing from anywhere.
_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


class Service:
    """Loaded runs that answer requests."""

    def __init__(
        self, runs: Mapping[str, TrainedRun], limits: Limits | None = None, batch_tokens: int | None = None
    ) -> None:
        """`runs` by name, the default one first. `batch_tokens` replaces their `decode.batch_tokens`."""
        self.limits = limits or Limits()
        self.models = list(runs)
        self.stopping = False
        self.active = 0
        """Requests without an answer."""
        search = {} if batch_tokens is None else {"batch_tokens": batch_tokens}
        self._decode = {name: run.config.decode.model_copy(update=search) for name, run in runs.items()}
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self.batcher = Batcher(runs, self.limits.waiting, self.metrics.translated)
        self._document = openapi_document(self.models, self.limits)

    def app(self) -> Starlette:
        """The service as an ASGI application."""
        return Starlette(
            routes=[
                Route("/translate", self._translate, methods=["POST"]),
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
                Route("/openapi.json", self._openapi),
                Route("/docs", self._docs),
            ],
            middleware=[Middleware(_Counting, service=self)],
            exception_handlers=dict.fromkeys((RequestError, ClientDisconnect, HTTPException, Exception), _error_answer),
        )

    async def _translate(self, request: Request) -> Response:
        if self.stopping:
            raise RequestError(503, "the server is stopping", _RETRY_SECONDS)
        _check_type(request)
        asked = parse_request(await _read_body(request, self.limits.body_bytes), self.models, self.limits)
        search = self._search(asked)
        try:
            futures = self.batcher.submit(asked.text, search)
        except QueueFullError:
            raise RequestError(503, "too many sentences wait for their translation", _RETRY_SECONDS) from None
        translated = await _unless_disconnected(futures, request)
        answer = TranslateAnswer(
            model=search.model, translations=[_sentence_answer(sentence, asked) for sentence in translated]
        )
        # What was not asked for is not set.
        return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")

    def _search(self, asked: TranslateRequest) -> Search:
        model = asked.model or self.models[0]
        given = {"beam_size": asked.beam_size, "length_penalty": asked.length_penalty}
        update = {name: value for name, value in given.items() if value is not None}
        return Search(model, self._decode[model].model_copy(update=update), asked.n_best, asked.attention)

    async def _health(self, request: Request) -> Response:
        health = HealthAnswer(status="stopping" if self.stopping else "ok", models=self.models)
        return JSONResponse(health.model_dump(), 503 if self.stopping else 200)

    async def _metrics(self, request: Request) -> Response:
        return Response(self.metrics.exposition(), media_type=CONTENT_TYPE)

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(self._document)

    async def _docs(self, request: Request) -> Response:
        return HTMLResponse(docs_page(self._document), headers=_PAGE_HEADERS)


class _Counting:
    """Middleware that counts requests, by path, status and time."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noting_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.service.active += 1
        try:
            await self.app(scope, receive, noting_status)
        finally:
            self.service.active -= 1
            # Unknown paths are counted together: anyone can invent more of them.
            path = scope["route"].path if "route" in scope else "other"
            self.service.metrics.answered(path, status, time.perf_counter() - started)


def _check_type(request: Request) -> None:
    """Other types are also refused because any web page may send them to this machine; JSON it may not."""
    sent = request.headers.get("content-type", "")
    if sent.partition(";")[0].strip().lower() != "application/json":
        found = f"found {sent!r}" if sent else "but there is none"
        raise RequestError(415, f"expected the header Content-Type: application/json, {found}")


async def _read_body(request: Request, most: int) -> bytes:
    """Raises: RequestError 413 beyond `most` bytes, 408 where it takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                # What is too long is read to its end, but not kept: a client that still sends would miss the answer.
                if len(body) <= most:
                    body += chunk
    except TimeoutError:
        raise RequestError(408, f"the body did not arrive within {_BODY_SECONDS} s") from None
    if len(body) > most:
        raise RequestError(413, f"the body is longer than {most:,} bytes")
    return bytes(body)


async def _unless_disconnected(futures: Sequence[Future[Translated]], request: Request) -> list[Translated]:
    """The results, unless the client leaves before; its sentences are then taken out of the queue.

    Raises: ClientDisconnect; RequestError where a sentence cannot be translated.
    """
    results = asyncio.gather(*map(asyncio.wrap_future, futures))
    leaving = asyncio.create_task(_wait_for_disconnect(request))
    either: list[asyncio.Future[Any]] = [results, leaving]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not results.done():
            raise ClientDisconnect
        return results.result()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RequestError(503, "out of memory; send shorter sentences or a smaller beam_size") from error
    finally:
        leaving.cancel()
        results.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _sentence_answer(translated: Translated, asked: TranslateRequest) -> SentenceAnswer:
    best, *others = translated.translations
    fields: dict[str, Any] = best.as_json()
    if asked.n_best > 1:
        fields["alternatives"] = [Alternative(**other.as_json()) for other in others]
    if asked.attention:
        fields["attention"] = None if translated.attention is None else _attention(translated.attention)
    return SentenceAnswer(**fields)


def _attention(found: AttentionMap) -> AttentionAnswer:
    return AttentionAnswer(
        title=found.title, rows=list(found.rows), columns=list(found.columns), weights=found.rounded()
    )


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(ErrorAnswer(error=message).model_dump(), status, headers)


async def _error_answer(request: Request, error: Exception) -> Response:
    match error:
        case RequestError():
            headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            return _error(error.status, str(error), headers)
        case ClientDisconnect():
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        case HTTPException():
            allowed = (error.headers or {}).get("Allow")
            problem = f"is answered for {allowed} only" if allowed else "is no path of this server; /docs lists them"
            return _error(error.status_code, f"{request.method} {request.url.path}: {problem}", error.headers)
        case _:
            return _error(500, "internal error; the server's log has the details")
