"""`seq2attn play`: the page in headless Chromium, opened from the disk, and its parts."""

from __future__ import annotations

import json
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from sacrebleu.metrics import BLEU

from seq2attn.attention.words import group_subwords
from seq2attn.config.load import dump_config, load_config
from seq2attn.play import page as play_page_module
from seq2attn.play.loss import with_stored_weights
from seq2attn.play.page import program_of_page
from seq2attn.play.sentences import sample_sentences
from seq2attn.play.weights import as_stored
from seq2attn.runs.folder import load_run
from tests.browser import Tab, needs_browser, open_tab
from tests.command_line import PATIENCE, PROGRAM, call, spawn, train_tiny, write
from tests.engine import INSTALLED, needs_some_engine, run_engine
from tests.pages import ROOT

VIEW = ROOT / "seq2attn" / "play" / "view"
UNTRAINED = ("train.max_steps=1", "train.validation_sentences=0", "subwords={vocab_size: 400, byte_fallback: true}")
MODELS = {
    "fixed": "model.attention=none",
    "attention": "model.attention=additive",
    "transformer": "model={kind: transformer, d_model: 16, n_heads: 2, n_layers: 2}",
}
SOURCE = "ta kiso noruto lipa <script>alert(1)</script> & kupota."


@pytest.fixture(scope="module")
def runs(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run of each kind of model after one update."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        train_tiny(
            folder / name,
            data_folder,
            *(word for setting in (*UNTRAINED, model, f"name={name}") for word in ("--set", setting)),
        )
        for name, model in MODELS.items()
    ]


@pytest.fixture(scope="module")
def page(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "new" / "page.html"
    done = call("play", *runs, "--out", path, "--precision", "32", "--sentences", "60")
    assert (done.code, done.stdout) == (0, "")
    assert re.fullmatch(rf"wrote {re.escape(str(path))} \(\d\.\d MiB\)\n", done.stderr)
    return path


IDLE = "document.documentElement.dataset.loaded === 'true' && !document.querySelector('[aria-busy]')"


@pytest.fixture(scope="module")
def tab(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """The page with `SOURCE` in its address, opened from the disk."""
    with open_tab(tmp_path_factory.mktemp("browser")) as tab:
        tab.watch()
        tab.open(f"{page.as_uri()}#text={quote(SOURCE)}")
        tab.wait_until(IDLE)
        yield tab


def act(tab: Tab, program: str) -> Any:
    """What the JavaScript `program` returns, after which every model has answered."""
    found = tab.run(f"JSON.stringify((() => {{ {program} }})() ?? null)")
    tab.wait_until(IDLE)
    return json.loads(found)


WRITTEN = """return [...document.querySelectorAll(".system")].map((system) => (
  [...system.querySelectorAll(".sentence")[0].children].map((word) => word.textContent).join(" ")))"""


def typed(text: str) -> str:
    """JavaScript that types `text`."""
    return f"""(() => {{
      const area = document.querySelector("#source");
      area.value = {json.dumps(text)};
      area.dispatchEvent(new Event("input"));
    }})()"""


@needs_browser
def test_the_page_translates_the_text_of_its_address_as_python_does(tab: Tab, runs: list[Path], tmp_path: Path) -> None:
    text = write(tmp_path / "source.txt", f"{SOURCE}\n")
    expected = [call("translate", run, text).stdout.strip() for run in runs]
    assert len(set(expected)) > 1
    tab.wait_until("document.querySelector('#live').textContent.length > 0")
    said = ". ".join(f"{name}: {text}" for name, text in zip(MODELS, expected, strict=True))
    assert act(tab, "return document.querySelector('#live').textContent") == said
    assert act(tab, "return [...document.querySelectorAll('.system')].map((one) => one.dataset.simd)") == ["true"] * 3


@needs_browser
def test_the_page_asks_nothing_of_a_network_and_complains_of_nothing(tab: Tab) -> None:
    assert [address for address in tab.requests if not address.startswith(("file:", "blob:", "data:"))] == []
    assert tab.complaints == []


@needs_browser
def test_words_that_look_like_markup_are_words(tab: Tab) -> None:
    words = act(tab, "return [...document.querySelectorAll('[data-axis=columns]')].map((line) => line.textContent)")
    assert len(words) == 2
    assert [line.count("<script>alert(1)</script>") for line in words] == [1, 1], words
    assert act(tab, "return document.querySelectorAll('.system script').length") == 0


MAP = "[...document.querySelectorAll('.system')[2].querySelectorAll('.weights td')].map((cell) => cell.style.cssText)"


@needs_browser
def test_switching_heads_off_and_forbidding_looks_change_the_map(tab: Tab) -> None:
    before = act(tab, f"return {MAP}")
    act(tab, "document.querySelectorAll('.system')[2].querySelectorAll('.head')[0].click()")
    assert act(tab, f"return {MAP}") != before
    act(tab, "document.querySelectorAll('.system')[2].querySelectorAll('.head')[0].click()")
    assert act(tab, f"return {MAP}") == before
    forbid = "document.querySelectorAll('.system')[2].querySelectorAll('[data-axis=columns] button')[1].click()"
    act(tab, forbid)
    column = "document.querySelectorAll('.system')[2].querySelectorAll('tbody [data-column=\"1\"]')"
    weights = act(tab, f"return [...{column}].map((cell) => cell.textContent)")
    assert set(weights) == {"0"}
    act(tab, forbid)
    assert act(tab, f"return {MAP}") == before


@needs_browser
def test_pointing_at_a_word_and_the_keyboard_light_what_it_looks_at(tab: Tab) -> None:
    seen = act(
        tab,
        """const system = document.querySelectorAll(".system")[1];
        const words = (axis) => [...system.querySelectorAll(`[data-axis=${axis}] button`)];
        const lit = () => words("columns").map((word) => Number(word.style.getPropertyValue("--weight")));
        const seen = {};
        words("rows")[1].dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
        seen.pointed = lit();
        seen.said = system.querySelector(".readout").textContent;
        words("rows")[0].focus();
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
        seen.walked = [document.activeElement.dataset.row, lit(), words("rows").map((word) => word.tabIndex)];
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
        seen.escaped = lit();
        return seen;""",
    )
    assert sum(weight**2 for weight in seen["pointed"]) == pytest.approx(1, abs=0.01)
    assert " attends to " in seen["said"]
    place, weights, stops = seen["walked"]
    assert (place, weights) == ("1", seen["pointed"])
    assert stops.index(0) == 1
    assert sum(stops) == 1 - len(stops)
    assert set(seen["escaped"]) == {0}


@needs_browser
def test_the_search_can_be_changed_and_is_drawn_as_a_tree(tab: Tab) -> None:
    seen = act(
        tab,
        """const select = document.querySelector("#search");
        select.value = [...select.options].find((option) => option.text === "beam of 3").value;
        select.dispatchEvent(new Event("change"));
        document.querySelectorAll(".system")[2].querySelector(".beam").open = true;""",
    )
    tab.wait_until("document.querySelectorAll('.tree .node').length > 0")
    seen = act(
        tab,
        """const nodes = [...document.querySelectorAll(".tree .node")];
        const columns = nodes.map((node) => node.getAttribute("transform").split(" ")[0]);
        return [Math.max(...columns.map((column) => columns.filter((other) => other === column).length)),
          document.querySelectorAll(".tree .best.node").length];""",
    )
    widest, chosen = seen
    assert widest >= 3
    assert chosen >= len(act(tab, WRITTEN)[2].split()) > 0
    act(tab, "const select = document.querySelector('#search'); select.value = 0;"
             "select.dispatchEvent(new Event('change'))")  # fmt: skip


@needs_browser
def test_the_slider_joins_test_sentences_and_play_draws_the_curve(tab: Tab, runs: list[Path]) -> None:
    sentences = dict(sample_sentences(load_config(runs[0] / "config.yaml"), 60).pairs)
    act(
        tab,
        """const slider = document.querySelector("#joined");
        slider.value = 4;
        slider.dispatchEvent(new Event("input"));""",
    )
    joined, reference = act(
        tab,
        "return [document.querySelector('#source').value, document.querySelector('#reference-text').textContent]",
    )
    parts = [source for source in sentences if source in joined]
    assert len(parts) == 4
    assert sorted(" ".join(sentences[part] for part in parts)) == sorted(reference)
    tab.run("document.querySelector('#play').click()")
    tab.wait_until("document.querySelectorAll('.scores thead th').length > 2")
    act(tab, "document.querySelector('#play').click()")
    assert act(tab, "return document.querySelectorAll('.chart g').length") == 3
    assert tab.complaints == []


@needs_browser
def test_long_text_is_cut_with_a_notice_and_typing_stops_the_play(tab: Tab) -> None:
    tab.run(typed("ta " * 1_000))
    tab.wait_until("document.querySelector('#notice').textContent.includes('1,500 characters')")
    tab.run(typed(""))
    tab.wait_until("!document.querySelector('.sentence')")
    tab.run(typed("kiso"))
    tab.wait_until("location.hash === '#text=kiso'")
    tab.wait_until(IDLE)
    assert act(tab, WRITTEN)[1]


@needs_browser
@pytest.mark.parametrize("text", ["ta kiso noruto", "هذه جملة عربية قصيرة", "这是一个很短的句子"])
def test_no_text_makes_a_phone_scroll_sideways(tab: Tab, text: str) -> None:
    tab.resize(390, 800)
    act(tab, f"location.hash = {json.dumps(f'#text={quote(text)}')}")
    tab.wait_until(f"document.querySelector('#source').value === {json.dumps(text)}")
    tab.wait_until(IDLE)
    width, window = act(
        tab, "const { scrollWidth, clientWidth } = document.documentElement; return [scrollWidth, clientWidth]"
    )
    assert width <= window
    direction = "return getComputedStyle(document.querySelector('[data-axis=columns]')).direction"
    assert act(tab, direction) == ("rtl" if "ع" in text else "ltr")


EXAMPLES = [
    ("The cat sat on the mat.", "The cat sat on a mat."),
    ("It costs $3.50, i.e. 1,000-2,000 of \"it\"; & more!", "It cost $3.50, 1,000-2,000 &quot;each&quot; &amp; more!"),
    ("", "Nothing was said."),
    ("the the the the", "the cat"),
    ("état d’esprit – 50-year-old (2nd) a/b_c", "état d’esprit – 50-year-old (2nd) a/b c"),
    ("彼は学生です。", "彼は学生でした。"),
]  # fmt: skip


@needs_some_engine
@pytest.mark.parametrize("tokenizer", ["13a", "char"])
def test_bleu_is_that_of_sacrebleu(tokenizer: str, tmp_path: Path) -> None:
    draw = random.Random(2)
    words = " ".join(pair[1] for pair in EXAMPLES).split()
    pairs = EXAMPLES + [tuple(" ".join(draw.choices(words, k=draw.randint(1, 30))) for _ in "ab") for _ in range(60)]
    samples = [[pair] for pair in pairs] + [draw.sample(pairs, k) for k in (2, 5, 20, 60)]
    program = (VIEW / "bleu.js").read_text(encoding="utf-8") + (
        "const counts = ([ours, theirs]) => bleuCounts(ours, theirs, data.tokenizer);"
        "return data.samples.map((pairs) => bleu(pairs.map(counts)))"
    )
    found = run_engine(INSTALLED[0], program, {"samples": samples, "tokenizer": tokenizer}, tmp_path)
    metric = BLEU(tokenize=tokenizer)
    expected = [
        metric.corpus_score([ours for ours, _ in sample], [[theirs for _, theirs in sample]]).score
        for sample in samples
    ]
    assert found == pytest.approx(expected, abs=1e-9)
    assert len({round(score) for score in found}) > 10


PIECES = [
    ["▁(", "l", "'", "hom", "me", ").", "</s>"],
    ["<s>", "▁Ein", "▁Mann", "▁", "<0xC3>", "<0xA9>", "x", "<unk>", "▁", ".", "</s>"],
    ["▁我", "喜欢", "cats", "。", "</s>"],
    ["▁هذه", "▁جم", "لة", "!", "</s>"],
    ["▁", "▁--", "▁a", "-", "b", "…", "<0xE2>", "▁z"],
    ["▁พูด", "ไทย", "▁x"],
]


@needs_some_engine
def test_words_are_those_of_python(tmp_path: Path) -> None:
    program = (VIEW / "words.js").read_text(encoding="utf-8") + "return data.map(groupSubwords)"
    expected = [
        {"labels": list(tokens.words), "wordOf": list(tokens.word_of)} for tokens in map(group_subwords, PIECES)
    ]
    assert run_engine(INSTALLED[0], program, PIECES, tmp_path) == expected


def test_the_policy_allows_only_the_scripts_of_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy
    assert text.count("</script>") == 2 + 1 + 3  # engine and program; data; models
    assert "<!--" not in program_of_page()
    assert not re.findall(r"\b(?:src|href)=\"(?!data:)|@import|\burl\(", text)


def test_runs_that_cannot_share_a_page_are_errors(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    other = copy_of(runs[0], tmp_path / "other", "data.source_language=xb", "data.target_language=xa")
    done = call("play", runs[1], other, "--out", out)
    assert done.code == 2
    assert f"the runs translate different languages ({runs[1]} xa to xb, {other} xb to xa)" in done.complaint
    unfinished = copy_of(runs[0], tmp_path / "unfinished")
    final = unfinished / "checkpoints" / "final"
    for file in final.iterdir():
        file.unlink()
    final.rmdir()
    done = call("play", unfinished, "--out", out)
    assert done.code == 2
    assert "its training is not finished (step 1); resume it with `seq2attn train " in done.complaint
    done = call("play", runs[0], "--out", tmp_path / "page.txt")
    assert (done.code, done.complaint) == (
        2, f"seq2attn: --out {tmp_path / 'page.txt'}: expected a file name ending in .html"
    )  # fmt: skip
    assert not out.exists()


def copy_of(run: Path, folder: Path, *overrides: str) -> Path:
    """A copy of `run` with other settings."""
    shutil.copytree(run, folder)
    config = load_config(folder / "config.yaml", overrides)
    (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    return folder


def test_the_page_says_what_its_weights_cost(runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    measured = ("--sentences", "0", "--measure", "5", "--out", page)
    assert call("play", runs[1], *measured).code == 0
    text = page.read_text(encoding="utf-8")
    assert re.search(r'"Weights in 8 bits: \d+\.\d BLEU on 5 test sentences, \d+\.\d in 32 bits"', text)
    assert call("play", runs[1], *measured, "--precision", "32").code == 0
    assert re.search(r'"Weights in 32 bits: \d+\.\d BLEU on 5 test sentences"', page.read_text(encoding="utf-8"))


def test_stored_weights_are_those_that_are_measured(runs: list[Path]) -> None:
    model = load_run(runs[2], torch.device("cpu")).model
    stored = with_stored_weights(model, "int8").state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(stored[name], torch.from_numpy(as_stored(weight.numpy(), "int8"))), name


def test_a_page_that_is_too_large_is_an_error(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play_page_module, "MAX_PAGE_MIB", 0.05)
    done = call("play", runs[0], "--precision", "32", "--out", tmp_path / "page.html")
    assert done.code == 2
    assert done.complaint.endswith("give fewer or smaller runs, or --precision 8")


def test_a_page_of_a_run_without_its_corpus_has_no_test_sentences(runs: list[Path], tmp_path: Path) -> None:
    own = {split: f"data.{split}={tmp_path / 'gone'}.tsv" for split in ("train", "validation", "test")}
    moved = copy_of(
        runs[0], tmp_path / "moved", "data.corpus=", *own.values(), "data.source_language=ta", "data.target_language=zu"
    )
    done = call("play", moved, "--out", tmp_path / "page.html")
    assert done.code == 0, done.stderr
    assert "seq2attn: the page has no test sentences: " in done.stderr
    assert call("play", moved, "--sentences", "0", "--out", tmp_path / "page.html").stderr.startswith("wrote ")


def test_without_a_file_the_page_is_served_until_ctrl_c(runs: list[Path]) -> None:
    command = [*PROGRAM, "play", str(runs[0]), "--sentences", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], PATIENCE)[0], "no address was printed"
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                assert b"Translate as you type" in answer.read()
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{address}etc/passwd", timeout=PATIENCE)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, errors) == (130, "press Ctrl-C to stop\n")


def test_a_taken_port_is_an_error(runs: list[Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = spawn("play", runs[0], "--sentences", "0", "--port", str(port))
    assert done.code == 2
    assert f"--port {port}: not available" in done.complaint


def test_the_wheel_has_the_files_of_the_page() -> None:
    """Hatchling packs every file below the package that git does not ignore."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert wheel["packages"] == ["seq2attn"]
    assert not {"include", "exclude", "only-include"} & set(wheel)
    parts = [path for folder in ("engine", "view") for path in (ROOT / "seq2attn" / "play" / folder).iterdir()]
    assert {path.suffix for path in parts} == {".js", ".css", ".html"}
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, parts)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ignored.returncode == 128:
        pytest.skip("not a git repository")
    assert ignored.stdout == ""
