"""A page that translates with trained runs, in one file or served on this machine"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from string import Template
from threading import Thread
from typing import Any

import seq2attn
from seq2attn.config.languages import is_unspaced
from seq2attn.config.models import ModelConfig, TransformerConfig
from seq2attn.corpora import catalog
from seq2attn.corpora.load import language_pair
from seq2attn.errors import ConfigError, RunError, Seq2AttnError, disk_errors
from seq2attn.play.loss import PrecisionLoss, measure_loss
from seq2attn.play.model import browser_model, engine
from seq2attn.play.sentences import Sample, sample_sentences
from seq2attn.play.weights import BITS, Precision
from seq2attn.runs.folder import TrainedRun

MAX_PAGE_MIB = 64
"""Browsers need seconds, and several times the memory, for a larger page."""

# In this order: a file uses what the files before it define.
_VIEW = ("dom", "bleu", "words", "chart", "tree", "attention", "system", "page")


def check_runs(runs: Mapping[str, TrainedRun]) -> tuple[str, str]:
    """The languages of source and target that all `runs` share.

    Raises: RunError for a run whose training is not finished, or that a page cannot compute; ConfigError where the
    languages differ.
    """
    for run in runs.values():
        if not run.has_final_weights:
            raise RunError(
                f"{run.folder.path}: its training is not finished (step {run.about['step']}); resume it with "
                f"`seq2attn train {run.folder.config_file} --run-dir {run.folder.path} --resume`"
            )
        model = run.config.model
        if isinstance(model, TransformerConfig) and model.self_attention != "full":
            raise RunError(
                f"{run.folder.path}: model.self_attention is {model.self_attention}, which a page cannot compute; give "
                "runs with model.self_attention: full"
            )
    pairs = {str(run.folder.path): language_pair(run.config.data) for run in runs.values()}
    if len(set(pairs.values())) > 1:
        named = ", ".join(f"{path} {source} to {target}" for path, (source, target) in pairs.items())
        raise ConfigError(f"the runs translate different languages ({named}); give runs of one direction")
    return next(iter(pairs.values()))


def play_page(
    runs: Mapping[str, TrainedRun],
    precision: Precision,
    n_sentences: int,
    warn: Callable[[str], object],
    n_measured: int = 0,
) -> str:
    """The page, with the weights of `runs` in `precision`; it needs no server and no network.

    Args:
        runs: finished runs of one direction of translation, by name.
        precision: of weight matrices.
        n_sentences: the most test sentences of the first run's corpus to put into the page.
        warn: called with a line where the corpus cannot be read; the page then has no test sentences.
        n_measured: the page says what BLEU each run has on this many of its test sentences, and what `precision` costs
            of it; 0: it does not.

    Raises: as `check_runs`; as `load_corpus` where `n_measured` is given; ConfigError where the page is larger than
    `MAX_PAGE_MIB`.
    """
    languages = check_runs(runs)
    first = next(iter(runs.values()))
    try:
        sample = sample_sentences(first.config, n_sentences)
    except Seq2AttnError as error:
        warn(f"the page has no test sentences: {error}")
        sample = Sample()
    models = [browser_model(run, precision).as_json() for run in runs.values()]
    losses = [measure_loss(run, precision, n_measured) if n_measured else None for run in runs.values()]
    data = {
        "languages": languages,
        "unspaced": [is_unspaced(language) for language in languages],
        "corpus": " and ".join(dict.fromkeys(_corpus_title(run) for run in runs.values())),
        "sentences": sample.pairs,
        "joinable": sample.joinable,
        "note": _note(first, precision, sample),
        "models": [
            {"name": name, "about": _about(run, loss), "decode": model["decode"]}
            for (name, run), model, loss in zip(runs.items(), models, losses, strict=True)
        ],
    }
    page = render(data, models)
    size = len(page.encode()) / 2**20
    if size > MAX_PAGE_MIB:
        smaller = "" if precision == "int8" else ", or --precision 8"
        raise ConfigError(
            f"the page would have {size:.0f} MiB, more than the {MAX_PAGE_MIB} MiB that a browser reads in reasonable "
            f"time; give fewer or smaller runs{smaller}"
        )
    return page


def render(data: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    """The page of what it shows, `data`, and of descriptions of models with their weights."""
    style, program = _read("page.css"), program_of_page()
    engine_and_server = f"{engine()}\n{_read('worker.js')}"
    scripts = " ".join(_hash(script) for script in (engine_and_server, program))
    # Workers are made from the page's own text; WebAssembly multiplies matrices.
    policy = (
        f"default-src 'none'; script-src {scripts} 'wasm-unsafe-eval'; worker-src blob:; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_read("page.html")).substitute(
        policy=policy,
        title=escape(f"{', '.join(model['name'] for model in data['models'])}: translate as you type"),
        style=style,
        data=_json(data),
        engine=engine_and_server,
        program=program,
        models="\n".join(
            f'<script type="application/json" id="model-{number}">{_json(model)}</script>'
            for number, model in enumerate(models)
        ),
    )


def program_of_page() -> str:
    """The JavaScript of the page, without the engine."""
    scripts = "\n".join(_read(f"{name}.js") for name in _VIEW)
    return f"(() => {{\n{scripts}\n}})();\n"


def _read(name: str) -> str:
    return (files("seq2attn.play") / "view" / name).read_text(encoding="utf-8")


def _json(content: Any) -> str:
    """JSON without `<`, so that no text in it can end its element."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(content: str) -> str:
    """What a Content-Security-Policy allows to run: these very bytes."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _corpus_title(run: TrainedRun) -> str:
    corpus = run.config.data.corpus
    return "text of our own" if corpus is None else catalog.find(corpus).title


def _about(run: TrainedRun, loss: PrecisionLoss | None) -> list[str]:
    """What kind of model it is, and how well it translates if that was measured, for people."""
    kind = f"{_architecture(run.config.model)} · {run.model.count_parameters() / 1e6:.1f} million weights"
    return [kind] if loss is None else [kind, str(loss)]


def _architecture(model: ModelConfig) -> str:
    layers = f"{model.n_layers} layer{'s' if model.n_layers > 1 else ''}"
    if model.kind == "transformer":
        return f"transformer, {layers}, {model.n_heads} heads, width {model.d_model}"
    attention = "no attention" if model.attention == "none" else f"{model.attention.replace('_', ' ')} attention"
    return f"RNN ({model.cell.upper()}), {attention}, {layers}, width {model.d_model}"


def _note(run: TrainedRun, precision: Precision, sample: Sample) -> str:
    """Where the page comes from, and whose sentences it shows."""
    note = f"Made by seq2attn {seq2attn.__version__}; weights in {BITS[precision]} bits."
    if sample.pairs and (corpus := run.config.data.corpus) is not None:
        note += f" Test sentences: {corpus}, {catalog.find(corpus).licence}."
    return note


def write_page(page: str, path: Path) -> None:
    """Write the page to `path`.

    Raises: DiskError if it cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")


def serve_page(page: str, port: int) -> str:
    """Serve the page to this machine alone until the process ends, and return its address; port 0 is any free one.

    Raises: ConfigError where the port is not available.
    """
    content = page.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            body = content if self.path == "/" else b""
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """No line for each request."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ConfigError(
            f"--port {port}: not available ({error.strerror}); give another, or 0 for any free"
        ) from error
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://localhost:{server.server_port}/"
