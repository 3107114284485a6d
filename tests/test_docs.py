"""The pages compared with what they describe: links, anchors, commands, code, formulas and messages.

Every `seq2attn` line of a page is parsed by the command itself. The bash blocks of a page are also run, in their
order and in a folder with the files that the page assumes; the commands in `PARSED_ONLY` are not, for the reason
given there. `test_readme.py` runs those of the README.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.mathtext import MathTextParser
from ruamel.yaml import YAML

from scripts.expected_scaling import expected_scaling, expected_speedup
from seq2attn.config.load import dump_config, load_config
from seq2attn.config.models import MODEL_KINDS
from seq2attn.corpora import catalog
from seq2attn.corpora.load import load_corpus
from tests import pages
from tests.command_line import CONFIGS, call, tiny
from tests.pages import PAGES, ROOT, bash_lines, blocks, complaint, prose, read
from tests.training_samples import WORDS, write_copy_task

DOCS = ROOT / "docs"

PARSED_ONLY = {
    "seq2attn play results/quick": "needs runs that train for half an hour; run by test_play_page.py",
    "seq2attn dashboard": "serves until Ctrl-C; run by test_dashboard.py",
    "seq2attn serve": "serves until Ctrl-C; run by test_serve.py",
    "curl ": "needs the server; run by test_serve.py",
    "seq2attn study": "trains for minutes; run by test_study_alignment.py and test_study_heads.py",
    "seq2attn prune": "needs a trained transformer; run by test_pruning.py",
    "seq2attn train runs/smaller": "needs a pruned run; run by test_pruning.py",
    "seq2attn bench": "measures for minutes; run by test_bench.py",
    "seq2attn data import": "needs translated files; run by test_import_po.py and test_import_html.py",
    "seq2attn data fetch bible-fr-en": "needs a package index; run by test_bible.py",
    "seq2attn reproduce --preset": "takes an hour or more; run by test_reproduce.py with the preset smoke",
    "seq2attn train configs/natural/": "needs a package index; the configurations are loaded by test_configs.py",
    "seq2attn eval runs/first runs/without --join": "needs text with documents; run by test_joined.py",
    "seq2attn translate runs/large": "needs a folder of text; run by test_whole_files.py",
    "torchrun ": "run by tests/faults/test_processes.py",
    "seq2attn train configs/multi30k/": "trains for long; the configurations are loaded by test_configs.py",
    "scripts/": "installs; the command behind it is parsed, and run by test_reproduce.py",
    "pip install": "installs",
    "source ": "an environment of the user's",
    "ssh ": "another machine",
    "python ": "a script that is run by hand",
    "pytest ": "run by a test of its own, or by hand",
}

RUN = {"README.md", *(f"docs/{name}.md" for name in ("add-a-model", "evaluation", "export", "maps", "play"))}
RUN |= {"docs/corpora.md", "docs/getting-started.md", "docs/own-data.md"}


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in pages.HEADING.findall(prose(page))}


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(<?([^)>\s]+)>?\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        # A page of `seq2attn play` translates the text after its address.
        if anchor and not (file.suffix == ".html" and anchor.startswith("text=")):
            assert anchor in anchors(file), f"{target}: no such heading"


def test_an_anchor_is_made_as_github_makes_it() -> None:
    assert slug("Where `x` is, and *why*") == "where-x-is-and-why"
    assert slug("`eval`: [scores](a.md)") == "eval-scores"


def test_every_page_is_reached_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w/-]+\.md)\)", read(DOCS / "README.md")))
    assert {str(page.relative_to(DOCS)) for page in DOCS.glob("*.md")} - {"README.md"} <= linked
    assert "(docs/README.md)" in read(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_every_command_exists(page: Path) -> None:
    for line in bash_lines(page):
        if re.search(r"(^|\| )seq2attn ", line):
            assert not complaint(pages.arguments_of(line)), line
        elif line.startswith("scripts/reproduce.sh"):
            assert not complaint(["reproduce", *line.split()[1:]]), line
        elif line.startswith("scripts/"):
            assert (ROOT / line.split()[0]).stat().st_mode & 0o111, line
    for words in re.findall(r"`seq2attn ([^`]+)`", prose(page)):
        # In prose, arguments may be missing; `--help` fails only for unknown commands and options.
        assert call(*words.replace("…", "").split(), "--help").code == 0, words


@pytest.mark.parametrize(
    "line",
    [
        "seq2attn train x.yaml --steps 5",
        "seq2attn train",
        "seq2attn train x.yaml --minutes soon",
        "seq2attn attention run --source x --kind sideways",
        "seq2attn data get synthetic",
        "seq2attn fly",
    ],
)
def test_a_nonexistent_command_is_detected(line: str) -> None:
    assert complaint(pages.arguments_of(line))


def test_every_command_is_run_by_a_test() -> None:
    """The commands of a page that is not run are also in the README."""
    run = set(bash_lines(ROOT / "README.md"))
    for page in PAGES:
        if pages.name_of(page) not in RUN:
            lines = [line for line in bash_lines(page) if not line.startswith(tuple(PARSED_ONLY))]
            assert set(lines) <= run, pages.name_of(page)


def test_the_kubernetes_job_starts_processes_that_an_update_can_be_dealt_out_to() -> None:
    service, job = YAML(typ="safe").load_all((ROOT / "docs" / "scaling" / "job.yaml").read_text(encoding="utf-8"))
    pods = job["spec"]["template"]["spec"]
    (container,) = pods["containers"]
    *_, line = container["command"]
    launcher, _, command = line.partition(" -m ")
    assert not complaint(command.split()[1:])
    nodes, processes = (int(re.findall(rf"--{option} (\d+)", launcher)[0]) for option in ("nnodes", "nproc-per-node"))
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == nodes
    assert container["resources"]["limits"]["nvidia.com/gpu"] == processes
    assert f"train.accumulate={nodes * processes}" in command
    host, port = re.findall(r"--rdzv-endpoint (\S+):(\d+)", launcher)[0]
    assert host == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert pods["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert service["spec"]["ports"][0]["port"] == int(port)


def test_expected_scaling_is_what_the_stated_model_says() -> None:
    assert expected_scaling() in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    # By hand: 2 · 7/8 · 1 GB at 200 GB/s and 14 · 5 µs are 8.82 ms beside 91.18 ms of products.
    assert expected_speedup(8, 0.09118, 1, 10**9) == pytest.approx(8 * 0.9118)


def run_page(page: Path, *, cut: dict[str, str] | None = None) -> dict[str, str]:
    """Run the page's commands in the current folder; their outputs. `cut`: replacements in each line."""
    outputs = {}
    for line in bash_lines(page):
        if line.startswith(tuple(PARSED_ONLY)):
            continue
        cheap = re.sub(r"--minutes \S+", "--minutes 0.01", line)
        for long, short in (cut or {}).items():
            cheap = cheap.replace(long, short)
        done = pages.run(cheap)
        assert done.code == 0, f"{line}\n{done.stderr}"
        outputs[line] = done.stdout
    return outputs


@pytest.fixture
def workplace(tmp_path: Path, tiny_run: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with two trained runs in `runs` and small configurations of `smoke`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQ2ATTN_DATA", str(data_folder))
    for name in ("first", "without"):
        run = tmp_path / "runs" / name
        shutil.copytree(tiny_run, run)
        named = load_config(run / "config.yaml", [f"name={name}"])
        (run / "config.yaml").write_text(dump_config(named), encoding="utf-8")
    (tmp_path / "configs" / "smoke").mkdir(parents=True)
    for file in (CONFIGS / "smoke").glob("*.yaml"):
        config = load_config(file, ["model.d_model=16", "decode.beam_size=1", "decode.max_length_ratio=0.2"])
        (tmp_path / "configs" / "smoke" / file.name).write_text(dump_config(config), encoding="utf-8")
    return tmp_path


def test_the_page_on_corpora_runs(workplace: Path) -> None:
    outputs = run_page(DOCS / "corpora.md")
    assert "public domain" in outputs["seq2attn data show bible-fr-en"]


def test_the_attention_page_runs(workplace: Path) -> None:
    run_page(DOCS / "maps.md")
    assert (workplace / "map.html").is_file()


def test_the_page_on_play_runs(workplace: Path) -> None:
    run_page(DOCS / "play.md")
    assert (workplace / "page.html").is_file()


def test_the_page_on_the_report_runs(workplace: Path) -> None:
    run_page(DOCS / "report.md")
    assert (workplace / "results" / "comparison" / "report.html").is_file()


def test_the_evaluation_page_runs(workplace: Path) -> None:
    lines = [f"{word} {other} the cat sat on the mat" for word in WORDS for other in WORDS[:4]]
    seeds = [f"{name}{number}" for name in ("seed", "fixed") for number in (1, 2, 3)]
    for name in ("test.fr", "test.en", "test.zh", "ours.en", "theirs.en", "ours.zh", *(f"{seed}.en" for seed in seeds)):
        (workplace / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for number in (1, 2, 3):
        shutil.copytree("runs/first", f"runs/attention-{number}")
        shutil.copytree("runs/without", f"runs/fixed-{number}")
    assert all("BLEU" in output for output in run_page(DOCS / "evaluation.md").values())


def test_the_export_page_runs(workplace: Path, data_folder: Path) -> None:
    pytest.importorskip("ctranslate2")
    transformer = load_config(CONFIGS / "smoke" / "transformer.yaml", tiny(data_folder)[1::2])
    Path("t.yaml").write_text(dump_config(transformer), encoding="utf-8")
    assert call("train", "t.yaml", "--run-dir", "runs/mine").code == 0
    run_page(DOCS / "export.md")
    assert (workplace / "exported" / "model.bin").is_file()


def test_getting_started_runs(workplace: Path, data_folder: Path) -> None:
    """The runs of the preset are where `scripts/reproduce.sh` puts them."""
    for file in (CONFIGS / "smoke").glob("*.yaml"):
        shutil.copytree("runs/first", f"results/smoke/runs/{file.stem}")
    shutil.rmtree("runs")
    outputs = run_page(DOCS / "getting-started.md")
    assert len(outputs) == 6
    assert (workplace / "results" / "where.html").is_file()
    assert (workplace / "results" / "layers" / "curve.png").is_file()


def test_the_sentence_to_try_is_in_the_synthetic_corpus(data_folder: Path) -> None:
    pairs = pq.read_table(catalog.read_splits("synthetic", data_folder)["test"]).to_pylist()
    translations = {pair["source"]: pair["target"] for pair in pairs}
    for page in (ROOT / "README.md", DOCS / "getting-started.md"):
        (sentence,) = set(re.findall(r'"([^"]+\.)"', "".join(line for line in bash_lines(page) if '"' in line)))
        assert f"*{translations[sentence]}*" in read(page)


def write_pairs(folder: Path) -> None:
    """Write the copy task in every format of the page, with the page's languages."""
    tsv = write_copy_task(folder, 300)
    for split in ("train", "validation", "test"):
        rows = [tuple(line.split("\t")) for line in (tsv / f"{split}.tsv").read_text(encoding="utf-8").splitlines()]
        sources, targets = zip(*rows, strict=True)
        for language, lines in (("fr", sources), ("en", targets)):
            (folder / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        objects = [f'{{"translation": {{"fr": "{source}", "en": "{target}"}}}}\n' for source, target in rows]
        (folder / f"{split}.jsonl").write_text("".join(objects), encoding="utf-8")
        pq.write_table(pa.table({"source": sources, "target": targets}), folder / f"{split}.parquet")


def test_every_format_of_own_text_gives_the_same_corpus(workplace: Path) -> None:
    write_pairs(workplace / "text")
    first, *forms, _imported, unspaced = blocks(DOCS / "own-data.md", "yaml")
    assert len(forms) == 4
    rest = first.partition("\n")[2]
    digests = set()
    for form in forms:
        Path("mine.yaml").write_text(form + rest, encoding="utf-8")
        digests.add(load_corpus(load_config("mine.yaml").data).digest)
    assert len(digests) == 1
    Path("mine.yaml").write_text(unspaced, encoding="utf-8")
    assert load_corpus(load_config("mine.yaml").data).source_language == "zh"


def test_own_data_runs(workplace: Path) -> None:
    small = "subwords: {vocab_size: 27, byte_fallback: false}\ndecode: {beam_size: 1, max_length_ratio: 0.2}\n"
    yaml = blocks(DOCS / "own-data.md", "yaml")[0].replace("additive", "additive, d_model: 16")
    Path("mine.yaml").write_text(yaml.replace("max_minutes: 30", "max_steps: 2") + small, encoding="utf-8")
    # `all.tsv` is the reader's own; the page splits it only after it has explained training.
    pairs = (workplace / "copy").resolve()
    write_copy_task(pairs, 1200)
    together = "".join(
        (pairs / f"{split}.tsv").read_text(encoding="utf-8") for split in ("train", "validation", "test")
    )
    Path("all.tsv").write_text(together, encoding="utf-8")
    lines = [line for line in bash_lines(DOCS / "own-data.md") if not line.startswith(tuple(PARSED_ONLY))]
    train_and_score = [line for line in lines if line.startswith("seq2attn")]
    divide = [line for line in lines if line not in train_and_score]
    for line in [*divide, *train_and_score]:
        done = pages.run(line)
        assert done.code == 0, f"{line}\n{done.stderr}"
    divided = [Path(f"text/{split}.tsv").read_text(encoding="utf-8") for split in ("test", "validation", "train")]
    assert [len(text.splitlines()) for text in divided] == [500, 500, 200]
    assert sorted("".join(divided).splitlines()) == sorted(together.splitlines())
    assert Path("results/mine/curve.png").is_file()


def test_reasons_for_dropping_are_those_of_the_code() -> None:
    source = read(ROOT / "seq2attn" / "data" / "cleaning.py")
    documented = re.findall(r"`(\w+)`(?=[^|]* \| (?:all splits|training) \|)", read(DOCS / "own-data.md"))
    known = set(re.findall(r'(?:return|drop\() ?"(\w+)"', source)) | {"too_long_source", "too_long_target"}
    assert set(documented) == known


def defined_in(file: Path) -> set[str]:
    """Functions, classes and methods (`Class.method`) of a module."""
    names = set()
    for node in ast.parse(read(file)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_the_code_next_to_the_equations_exists() -> None:
    linked = re.findall(r"\[`([\w.]+)`\]\(\.\./(seq2attn/[\w/]+\.py)\)", read(DOCS / "models.md"))
    assert len(linked) > 30
    for name, file in linked:
        assert name in defined_in(ROOT / file), f"{name} is not in {file}"


def test_every_attention_and_every_positions_setting_is_described() -> None:
    text = read(DOCS / "models.md")
    rnn, transformer = (MODEL_KINDS[kind].model_json_schema()["properties"] for kind in ("rnn", "transformer"))
    for name in (*rnn["attention"]["enum"], *transformer["positions"]["enum"], *transformer["norm"]["enum"]):
        assert re.search(rf"`(model\.norm: )?{name}`", text), name


def formulas(page: Path) -> list[str]:
    text = prose(page)
    display = re.findall(r"^\$\$(.+?)\$\$$", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^\$\$.+?\$\$$", "", text, flags=re.MULTILINE | re.DOTALL)
    return display + re.findall(r"\$([^$\n]+)\$", rest)


def test_formulas_are_well_formed() -> None:
    found = formulas(DOCS / "models.md")
    assert len(found) > 80
    parser = MathTextParser("path")
    for formula in found:
        parser.parse(f"${formula}$")
        # GitHub's Markdown removes the backslash from these before it renders the formula.
        assert not re.search(r"\\[,;:!{}|\\]", formula), formula


def messages_in_source() -> list[re.Pattern[str]]:
    """Patterns for the messages in the code, with wildcards for values; very short ones are left out."""
    patterns = []
    for file in (ROOT / "seq2attn").rglob("*.py"):
        for node in ast.walk(ast.parse(read(file))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            fixed = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            if sum(map(len, fixed)) >= 12:
                pattern = "".join(re.escape(p.value) if isinstance(p, ast.Constant) else ".*" for p in parts)
                patterns.append(re.compile(rf"(?:\S+: )*{pattern}", re.DOTALL))
    for message in re.findall(r'echo "(.+)" >&2', read(ROOT / "scripts" / "venv.sh")):
        patterns.append(re.compile(re.sub(r"\\\$\w+", ".*", re.escape(message))))
    return patterns


def test_the_messages_in_troubleshooting_are_those_of_the_program() -> None:
    messages = blocks(DOCS / "troubleshooting.md", "text")
    assert len(messages) > 15
    patterns = messages_in_source()
    for block in messages:
        message = " ".join(block.split())
        assert any(pattern.fullmatch(message) for pattern in patterns), message


def test_a_nonexistent_message_is_detected() -> None:
    assert not any(pattern.fullmatch("the moon is in the wrong quarter") for pattern in messages_in_source())
