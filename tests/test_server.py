"""The server: answers, batches, limits, and how it stops."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2attn.attention.maps import Choice
from seq2attn.config.schema import DecodeConfig
from seq2attn.decoding.translate import Translator
from seq2attn.experiment.explore import explore_runs
from seq2attn.runs.folder import TrainedRun, load_run
from seq2attn.server.batching import Batcher, Search, Translated, choose_batch
from seq2attn.server.messages import Limits
from tests.command_line import PATIENCE

_EXTRA = "the extra `serve` is not installed"
httpx2 = pytest.importorskip("httpx2", reason=_EXTRA)
TestClient = pytest.importorskip("starlette.testclient", reason=_EXTRA).TestClient
Service = pytest.importorskip("seq2attn.server.app", reason=_EXTRA).Service
process = pytest.importorskip("seq2attn.server.process", reason=_EXTRA)

JSON = {"Content-Type": "application/json"}
WORDS = ("rel", "ibol", "ar", "zobur", "cedul", "ta", "kiso")
SENTENCES = [" ".join(WORDS[start:stop]) + "." for start in range(3) for stop in range(start + 1, len(WORDS) + 1)]


@pytest.fixture(scope="module")
def run(tiny_run: Path) -> TrainedRun:
    """In float64 no two hypotheses are nearly equal."""
    trained = load_run(tiny_run, torch.device("cpu"))
    with torch.no_grad():
        trained.model.double().output_weight.mul_(4.0)
    return trained


@pytest.fixture
def service(run: TrainedRun) -> Iterator[Service]:
    limits = Limits(body_bytes=4000, sentences=20, characters=100, waiting=30)
    service = Service({"first": run, "second": run}, limits)
    yield service
    service.batcher.close()


@pytest.fixture
def client(service: Service) -> TestClient:
    return TestClient(service.app(), raise_server_exceptions=False)


def one_by_one(run: TrainedRun, n_best: int = 1, **search: float) -> list[list[dict[str, Any]]]:
    """What `seq2attn translate --json` gives for each sentence alone."""
    translator = Translator(run.model, run.subwords, run.config.decode.model_copy(update=search))
    alone = [next(translator.stream([sentence], n_best)) for sentence in SENTENCES]
    return [[translation.as_json() for translation in translations] for translations in alone]


def rounded(value: Any) -> Any:
    """`value` with all floats rounded, which depend on the batch in their last digits."""
    return json.loads(json.dumps(value), parse_float=lambda text: round(float(text), 9))


@pytest.mark.parametrize(
    "options",
    [{"beam_size": 1}, {"beam_size": 3}, {"beam_size": 4, "length_penalty": 0.0, "n_best": 3}, {"n_best": 2}],
    ids=str,
)
def test_batched_answers_equal_translations_one_by_one(
    options: dict[str, Any], run: TrainedRun, client: TestClient
) -> None:
    expected = one_by_one(run, **options)
    assert len({translations[0]["text"] for translations in expected}) > len(expected) // 2
    answer = client.post("/translate", json={"text": SENTENCES, **options}).json()
    assert answer["model"] == "first"
    found = [[translation, *translation.pop("alternatives", [])] for translation in answer["translations"]]
    assert rounded(found) == rounded(expected)


def test_a_request_without_options_is_what_the_command_gives(client: TestClient, run: TrainedRun) -> None:
    answer = client.post("/translate", json={"text": "rel ibol ar."}).json()
    (expected,) = Translator(run.model, run.subwords, run.config.decode).translate_fully(["rel ibol ar."])
    assert rounded(answer) == rounded({"model": "first", "translations": [expected.as_json()]})


def test_attention_is_the_map_of_the_command(client: TestClient, run: TrainedRun) -> None:
    texts = ["rel ibol ar.", " ", "ta kiso"]
    answer = client.post("/translate", json={"text": texts, "attention": True, "model": "second"}).json()
    found = [translation["attention"] for translation in answer["translations"]]
    assert found[1] is None
    for text, attention in zip(texts[::2], found[::2], strict=True):
        (system,) = explore_runs({"run": run}, text).systems
        expected = system.attention.map(Choice(), as_subwords=False)
        assert expected is not None
        assert attention["weights"] == expected.rounded()
        assert (attention["rows"], attention["columns"]) == (list(expected.rows), list(expected.columns))


def test_empty_texts_have_empty_translations(client: TestClient) -> None:
    answer = client.post("/translate", json={"text": ["", "  \t ", "\0", "\u00a0"], "n_best": 2}).json()
    assert [translation["text"] for translation in answer["translations"]] == [""] * 4
    assert client.post("/translate", json={"text": []}).json()["translations"] == []


def test_line_ends_and_nul_count_as_they_do_in_a_file(client: TestClient) -> None:
    first, second = client.post("/translate", json={"text": ["rel\n ibol\0", "rel ibol"]}).json()["translations"]
    assert first["text"] == second["text"]


def test_a_long_sentence_is_translated_in_parts(run: TrainedRun) -> None:
    short = run.config.decode.model_copy(update={"max_source_tokens": 6})
    service = Service({"run": replace(run, config=run.config.model_copy(update={"decode": short}))})
    text = " ".join(WORDS * 3)
    answer = TestClient(service.app()).post("/translate", json={"text": text, "attention": True}).json()
    (expected,) = Translator(run.model, run.subwords, short).translate_fully([text])
    assert rounded(answer["translations"]) == rounded([expected.as_json() | {"attention": None}])
    assert expected.parts > 1
    service.batcher.close()


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "not JSON": (b"{text: 1}", 400, "the body is not valid JSON (key must be a string at line 1 column 2)"),
    "no body": (b"", 400, "the body is not valid JSON (EOF while parsing a value at line 1 column 0)"),
    "not UTF-8": (b'{"text": "\xff"}', 400, "the body is not valid JSON (invalid unicode code point"),
    "a lone surrogate": (rb'{"text": "\ud800"}', 400, "the body is not valid JSON ("),
    "deep": (b'{"text": ' + b"[" * 3000, 400, "the body is not valid JSON (recursion limit exceeded"),
    "not an object": (b"[1]", 422, "expected a JSON object with the field text, found [1]"),
    "no text": (b"{}", 422, "text: missing; expected a sentence or a list of sentences"),
    "null": (b'{"text": null}', 422, "text: expected a sentence or a list of sentences, found None"),
    "a number": (b'{"text": ["a", 7]}', 422, "text[1]: input should be a valid string, found 7"),
    "a list in a list": (b'{"text": [["a"]]}', 422, "text[0]: input should be a valid string, found ['a']"),
    "an object": (b'{"text": {"a": 1}}', 422, "text: expected a sentence or a list of sentences, found {'a': 1}"),
    "a misspelt field": (b'{"texts": "a"}', 422, "unknown field 'texts'; did you mean text?"),
    "an unknown field": (b'{"text": "a", "q": 1}', 422, "unknown field 'q'; known: text, model, beam_size, n_best, "),
    "a name with a line end": (b'{"text": "a", "q\\n": 1}', 422, r"unknown field 'q\n'; known: "),
    "an unknown model": (
        b'{"text": "a", "model": "third"}',
        422,
        "model: 'third' is not served; expected one of 'first', 'second'",
    ),
    "no beam": (b'{"text": "a", "beam_size": 0}', 422, "beam_size: input should be greater than or equal to 1, found"),
    "a wide beam": (b'{"text": "a", "beam_size": 33}', 422, "beam_size: input should be less than or equal to 32, fou"),
    "true as a number": (b'{"text": "a", "beam_size": true}', 422, "beam_size: input should be a valid integer, found"),
    "text as a number": (b'{"text": "a", "n_best": "3"}', 422, "n_best: input should be a valid integer, found '3'"),
    "NaN": (b'{"text": "a", "length_penalty": NaN}', 422, "length_penalty: input should be a finite number, found nan"),
    "1 as true": (b'{"text": "a", "attention": 1}', 422, "attention: input should be a valid boolean, found 1"),
    "many sentences": (
        json.dumps({"text": ["a"] * 21}).encode(),
        422,
        "text: 21 sentences; at most 20 in a request, so send several",
    ),
    "a long sentence": (
        json.dumps({"text": ["a", "b" * 101]}).encode(),
        422,
        "text[1]: 101 characters; at most 100, so split the text",
    ),
    "a long body": (b"a" * 4001, 413, "the body is longer than 4,000 bytes"),
    "10 MB": (b"a" * 10_000_000, 413, "the body is longer than 4,000 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_request_is_refused_in_one_line(name: str, client: TestClient) -> None:
    body, status, message = REFUSED[name]
    response = client.post("/translate", content=body, headers=JSON)
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert response.json()["error"].startswith(message)
    assert "\n" not in response.json()["error"]
    assert response.status_code == status


@pytest.mark.parametrize(
    ("sent", "found"),
    [(None, "but there is none"), ("text/plain", "found 'text/plain'"), ("multipart/form-data", "found 'multipart/fo")],
)
def test_only_json_is_accepted(sent: str | None, found: str, client: TestClient) -> None:
    response = client.post(
        "/translate", content=b'{"text": "a"}', headers={} if sent is None else {"Content-Type": sent}
    )
    assert response.status_code == 415
    assert response.json()["error"].startswith(f"expected the header Content-Type: application/json, {found}")
    with_charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/translate", content=b'{"text": "a"}', headers=with_charset).status_code == 200


def test_other_methods_and_paths_are_refused(client: TestClient) -> None:
    response = client.get("/translate")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json() == {"error": "GET /translate: is answered for POST only"}
    response = client.post("/elsewhere")
    assert (response.status_code, response.json()) == (
        404,
        {"error": "POST /elsewhere: is no path of this server; /docs lists them"},
    )


class Gate:
    """Holds each batch until it is opened; remembers the sentences of all batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[str]] = []
        translate: Callable[..., list[Translated]] = Batcher._translate_batch

        def wait_and_translate(batcher: Batcher, sentences: Sequence[str], search: Search) -> list[Translated]:
            self.batches.append(list(sentences))
            self.begun.set()
            assert self.opened.wait(PATIENCE)
            return translate(batcher, sentences, search)

        monkeypatch.setattr(Batcher, "_translate_batch", wait_and_translate)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def texts(futures: Sequence[Future[Translated]]) -> list[str]:
    return [future.result(PATIENCE).translations[0].text for future in futures]


def test_what_waits_is_batched_by_search(service: Service, gate: Gate, run: TrainedRun) -> None:
    greedy, beam = (Search("first", run.config.decode.model_copy(update={"beam_size": size})) for size in (1, 2))
    futures = service.batcher.submit(["rel"], greedy)
    assert gate.begun.wait(PATIENCE)
    for sentence in SENTENCES[:6]:
        futures += service.batcher.submit([sentence], greedy)
        futures += service.batcher.submit([sentence], beam)
    assert service.batcher.waiting == 12
    gate.opened.set()
    found = texts(futures)
    assert [sorted(batch) for batch in gate.batches] == [["rel"], *[sorted(SENTENCES[:6])] * 2]
    expected = Translator(run.model, run.subwords, greedy.decode).translate(SENTENCES[:6])
    assert found[1::2] == expected


def test_a_cancelled_sentence_costs_no_work(service: Service, gate: Gate, run: TrainedRun) -> None:
    search = Search("first", run.config.decode)
    futures = service.batcher.submit(["rel"], search)
    assert gate.begun.wait(PATIENCE)
    futures += service.batcher.submit(["ibol", "ar", "ta"], search)
    assert not futures[0].cancel()
    assert futures[2].cancel()
    assert service.batcher.waiting == 2
    gate.opened.set()
    texts([futures[1], futures[3]])
    assert gate.batches == [["rel"], ["ibol", "ta"]]


def test_a_full_queue_refuses_and_says_when_to_come_again(client: TestClient, gate: Gate, service: Service) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.post, "/translate", json={"text": "rel"})
        assert gate.begun.wait(PATIENCE)
        others = [pool.submit(client.post, "/translate", json={"text": ["ar"] * 15}) for _ in range(2)]
        while service.batcher.waiting < 30:
            time.sleep(0.01)
        refused = client.post("/translate", json={"text": "ta"})
        gate.opened.set()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json() == {"error": "too many sentences wait for their translation"}
        assert [done.result().status_code for done in (first, *others)] == [200] * 3
    assert client.post("/translate", json={"text": "ta"}).status_code == 200


def test_a_sentence_that_fails_does_not_fail_others(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch, run: TrainedRun
) -> None:
    translate: Callable[..., list[Translated]] = Batcher._translate_batch
    problem: Exception = ValueError("private details")

    def fail_for_some(batcher: Batcher, sentences: Sequence[str], search: Search) -> list[Translated]:
        if "ar" in sentences:
            raise problem
        return translate(batcher, sentences, search)

    monkeypatch.setattr(Batcher, "_translate_batch", fail_for_some)
    fine, failing, also_fine = service.batcher.submit(["rel", "ar", "ta"], Search("first", run.config.decode))
    assert len(texts([fine, also_fine])) == 2
    assert failing.exception(PATIENCE) is problem
    response = client.post("/translate", json={"text": ["rel", "ar"]})
    assert (response.status_code, response.json()) == (
        500,
        {"error": "internal error; the server's log has the details"},
    )
    problem = RuntimeError("CUDA error: out of memory")
    response = client.post("/translate", json={"text": ["rel", "ar"]})
    assert (response.status_code, response.json()) == (
        503,
        {"error": "out of memory; send shorter sentences or a smaller beam_size"},
    )
    assert client.post("/translate", json={"text": "rel"}).status_code == 200


@pytest.mark.parametrize(
    ("tokens", "limit", "chosen"),
    [
        ([7], 1, [0]),
        ([5, 5, 5, 5], 15, [0, 1, 2]),
        ([5, 50, 6, 4, 5], 24, [0, 4, 2, 3]),
        ([5, 50, 6, 4, 5], 1000, [0, 4, 2, 3, 1]),
        ([50, 5, 5, 49], 100, [0, 3]),
        ([5, 6], 10, [0]),
    ],
)
def test_a_batch_has_the_oldest_sentence_and_those_of_similar_length(
    tokens: list[int], limit: int, chosen: list[int]
) -> None:
    assert choose_batch(tokens, limit) == chosen


def test_batches_respect_the_limit_of_tokens(run: TrainedRun) -> None:
    service = Service({"run": run}, batch_tokens=1)
    assert TestClient(service.app()).post("/translate", json={"text": SENTENCES[:5]}).status_code == 200
    assert b"seq2attn_batch_sentences_count 5.0\n" in service.metrics.exposition()
    service.batcher.close()


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """A server on a free port, in a thread."""
    listener = process.listen("127.0.0.1", 0)
    address = process.address_of(listener)
    with process.serving(service, listener):
        yield address


def test_many_clients_share_batches(address: str, run: TrainedRun, service: Service) -> None:
    def translate(sentence: str) -> str:
        response = httpx2.post(f"{address}/translate", json={"text": sentence}, timeout=PATIENCE)
        return str(response.json()["translations"][0]["text"])

    with ThreadPoolExecutor(len(SENTENCES)) as pool:
        found = list(pool.map(translate, SENTENCES))
    assert found == Translator(run.model, run.subwords, run.config.decode).translate(SENTENCES)


def test_a_client_that_leaves_takes_its_sentences_out_of_the_queue(address: str, gate: Gate, service: Service) -> None:
    host, port = address.removeprefix("http://").split(":")
    body = b'{"text": ["rel", "ar"]}'
    lines = (
        "POST /translate HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    message = "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body
    with socket.create_connection((host, int(port))) as first, socket.create_connection((host, int(port))) as second:
        first.sendall(message)
        assert gate.begun.wait(PATIENCE)
        second.sendall(message)
        while service.batcher.waiting < 2:
            time.sleep(0.01)
    while service.batcher.waiting or service.active:
        time.sleep(0.01)
    gate.opened.set()
    assert httpx2.post(f"{address}/translate", json={"text": "ta"}, timeout=PATIENCE).status_code == 200
    assert gate.batches == [["rel", "ar"], ["ta"]]
    assert b'path="/translate",status="499"} 2.0' in service.metrics.exposition()


def test_a_long_body_is_refused_by_the_server_itself(address: str) -> None:
    response = httpx2.post(f"{address}/translate", content=b"a" * 10_000_000, headers=JSON, timeout=PATIENCE)
    assert (response.status_code, response.json()) == (413, {"error": "the body is longer than 4,000 bytes"})


def test_a_stopping_server_refuses_what_is_new_and_answers_what_has_begun(service: Service, gate: Gate) -> None:
    listener = process.listen("127.0.0.1", 0)
    address = process.address_of(listener)
    with ThreadPoolExecutor() as pool, httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        with process.serving(service, listener):
            begun = pool.submit(client.post, "/translate", json={"text": "rel"})
            assert gate.begun.wait(PATIENCE)
            assert client.get("/healthz").json() == {"status": "ok", "models": ["first", "second"]}
            service.stopping = True
            health, refused = client.get("/healthz"), client.post("/translate", json={"text": "ta"})
            threading.Timer(0.2, gate.opened.set).start()
        assert begun.result().status_code == 200
        assert (health.status_code, health.json()["status"]) == (503, "stopping")
        assert (refused.status_code, refused.json()) == (503, {"error": "the server is stopping"})
        assert refused.headers["retry-after"] == "1"
        with pytest.raises(httpx2.ConnectError):
            client.get("/healthz")
    assert gate.batches == [["rel"]]


def test_metrics_count_requests_batches_and_times(client: TestClient) -> None:
    client.post("/translate", json={"text": SENTENCES[:3]})
    client.post("/translate", json={"text": 3})
    client.get("/invented")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    found = dict(re.findall(r"^(seq2attn_\S+) (\S+)$", response.text, re.MULTILINE))
    expected = {
        'seq2attn_requests_total{path="/translate",status="200"}': "1.0",
        'seq2attn_requests_total{path="/translate",status="422"}': "1.0",
        'seq2attn_requests_total{path="other",status="404"}': "1.0",
        'seq2attn_request_seconds_bucket{le="+Inf",path="/translate"}': "2.0",
        'seq2attn_batch_sentences_bucket{le="2.0"}': "0.0",
        'seq2attn_batch_sentences_bucket{le="4.0"}': "1.0",
        "seq2attn_batch_sentences_sum": "3.0",
        "seq2attn_batch_seconds_count": "1.0",
        "seq2attn_waiting_sentences": "0.0",
    }
    assert found | expected == found


def references(value: Any) -> Iterator[str]:
    """Every `$ref` below `value`."""
    if isinstance(value, dict):
        yield from (ref for key, ref in value.items() if key == "$ref")
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from references(below)


def test_the_openapi_document_describes_every_path_and_answer(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {"/translate", "/healthz", "/metrics"}
    schemas = document["components"]["schemas"]
    assert {ref.rpartition("/")[2] for ref in references(document)} == set(schemas)
    request = schemas["TranslateRequest"]["properties"]
    assert request["text"]["anyOf"] == [{"type": "string"}, {"items": {"type": "string"}, "type": "array"}]
    assert all("description" in details for details in request.values())
    answer = client.post("/translate", json={"text": "rel", "n_best": 2, "attention": True}).json()
    (translation,) = answer["translations"]
    assert set(answer) == set(schemas["TranslateAnswer"]["properties"])
    assert set(translation) == set(schemas["SentenceAnswer"]["properties"])
    assert set(translation["alternatives"][0]) == set(schemas["Alternative"]["properties"])
    assert set(translation["attention"]) == set(schemas["AttentionAnswer"]["properties"])
    assert set(document["paths"]["/translate"]["post"]["responses"]) >= {
        str(status) for _, status, _ in REFUSED.values()
    }


def test_the_page_shows_the_document_and_loads_nothing(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.findall(r"<script|<link|src=|https?://(?!HOST)", page.text)
    for word in (
        "POST /translate",
        "GET /healthz",
        "beam_size",
        "integer from 1 to 32 or null",
        "<code>decode.beam_size</code>",
        "At most 20 sentences",
    ):
        assert word in page.text


def test_searches_are_equal_where_their_settings_are() -> None:
    assert len({Search("a", DecodeConfig(beam_size=2)), Search("a", DecodeConfig(beam_size=2))}) == 1
