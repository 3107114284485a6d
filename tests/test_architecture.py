"""The rules of the house that a reader cannot see in one file: who imports whom, how long, how typed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import PATIENCE

PACKAGE = Path(__file__).parent.parent / "seq2attn"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in MODULES]

# What the modules of each room may import of the package, beside their own room. A name covers all that is in it.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "config": {"errors"},
    "data": {"config", "errors"},
    "models": {"config", "errors"},
    "evaluation": {"config", "errors"},
    "explorer": {"config", "errors", "evaluation.style"},
    "report": {"config", "errors", "evaluation", "explorer"},
    "decoding": {"config", "errors", "data", "models.seq2seq", "explorer.maps", "explorer.words"},
    "training": {"config", "errors", "data", "models", "evaluation", "explorer", "decoding"},
    "experiment": {
        *{"config", "errors", "data", "models", "evaluation", "explorer", "report", "decoding", "training"},
    },
    "export": {"config", "errors", "data", "models", "training"},
    "benchmark": {"config", "errors", "data", "models", "evaluation.style", "decoding", "training"},
    "cli": {
        *{"config", "errors", "data", "models", "evaluation", "explorer", "decoding", "training", "experiment"},
        *{"benchmark", "export"},
    },
    "__main__": {"cli"},
    "__init__": set(),
}

WITHOUT_TORCH = ("evaluation", "explorer", "report")
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, inside functions too; `from a import b` is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def is_allowed(imported: str, importer: str) -> bool:
    """Whether a module of the room `importer` may import `imported`, a name below the package."""
    allowed = MAY_IMPORT[importer] | {importer}
    return any(imported == name or imported.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize(
    ("imported", "importer", "allowed"),
    [
        ("models.seq2seq.Seq2Seq", "decoding", True),
        ("models.rnn.RnnSeq2Seq", "decoding", False),
        ("models.build", "data", False),
        ("training.loss", "models", False),
        ("data.batch.Batch", "models", False),
        ("errors.DataError", "data", True),
        ("data.batch", "data", True),
        ("cli.app.main", "experiment", False),
        ("config_of_old", "data", False),
    ],
)
def test_the_rules_mean_what_they_say(imported: str, importer: str, allowed: bool) -> None:
    assert is_allowed(imported, importer) is allowed


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_go_downward(path: Path) -> None:
    importer = room(path)
    assert importer in MAY_IMPORT, f"{importer} is a room without rules; give it some here"
    wrong = [
        f"line {line}: {name}"
        for line, name in imports(parse(path))
        # The package itself is its version, which anyone may read.
        if name.startswith("seq2attn.") and not is_allowed(name.removeprefix("seq2attn."), importer)
    ]
    assert not wrong


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) in WITHOUT_TORCH], ids=lambda path: path.stem)
def test_evaluation_explorer_and_report_know_strings_and_numbers_alone(path: Path) -> None:
    assert not [name for _, name in imports(parse(path)) if name.split(".")[0] == "torch"]


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_modules_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, Function)]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_public_functions_say_their_types(path: Path) -> None:
    untyped = []
    for node in ast.walk(parse(path)):
        if not isinstance(node, Function) or node.name.startswith("_"):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        bare = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
        if bare or node.returns is None:
            untyped.append(f"line {node.lineno}: {node.name}")
    assert not untyped


def modules_after(statement: str) -> set[str]:
    """What is loaded in a fresh interpreter after `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["seq2attn.cli.app", "seq2attn.config.load"])
def test_what_answers_at_once_loads_nothing_heavy(module: str) -> None:
    heavy = {"torch", "datasets", "pyarrow", "matplotlib", "sentencepiece", "sacrebleu", "numpy"}
    assert not modules_after(f"import {module}") & heavy


@pytest.mark.parametrize("without", WITHOUT_TORCH)
def test_evaluation_explorer_and_report_load_no_torch(without: str) -> None:
    names = [name for name in NAMES if name.startswith(f"seq2attn.{without}") and not name.endswith("__init__")]
    loaded = modules_after(f"import {', '.join(names)}")
    assert set(names) <= loaded
    assert "torch" not in loaded
