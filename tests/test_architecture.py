"""The rules of the code base that no single file shows: imports, sizes, type annotations."""

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

# What the modules of each package may import besides their own package, bottom up. A package covers its modules.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "style": set(),
    "device": {"errors"},
    "config": {"errors"},
    "models": {"config", "errors", "device"},
    "data": {"config", "errors"},
    "corpora": {"config", "errors", "data"},
    "evaluation": {"config", "errors"},
    "results": {"config", "errors", "evaluation"},
    "plots": {"errors", "style", "evaluation", "results"},
    "decoding": {"config", "errors", "data", "models.seq2seq", "models.precision", "models.products"},
    "attention": {"config", "errors", "style", "data", "models.seq2seq"},
    "report": {"config", "errors", "style", "evaluation", "results", "plots", "attention"},
    "runs": {"config", "errors", "data", "corpora", "models", "device", "evaluation", "results", "report"},
    "training": {"config", "errors", "device", "data", "corpora", "models", "evaluation", "decoding", "runs"},
    "export": {"config", "errors", "data", "models", "runs"},
    "play": {"config", "errors", "data", "corpora", "models", "evaluation", "decoding", "runs"},
    "server": {"config", "errors", "data", "decoding", "attention", "runs"},
    "benchmark": {
        *{"config", "errors", "style", "device", "data", "models", "decoding", "training.schedule", "training.update"},
    },
    "experiment": {
        *{"config", "errors", "style", "device", "data", "corpora", "models", "evaluation", "decoding", "attention"},
        *{"results", "plots", "report", "runs", "training"},
    },
    "pruning": {"config", "errors", "device", "data", "corpora", "models", "evaluation", "runs", "training"},
    "studies": {
        *{"config", "errors", "device", "data", "corpora", "models", "evaluation", "decoding", "attention"},
        *{"results", "plots", "report", "runs", "training", "experiment", "pruning", "benchmark"},
    },
    "cli": {
        *{"config", "errors", "device", "data", "corpora", "evaluation", "decoding", "attention", "report", "runs"},
        *{"results", "plots", "training", "experiment", "benchmark", "export", "play", "server", "studies", "pruning"},
    },
    # The Python API; no other package imports it.
    "api": {
        *{"config", "errors", "style", "device", "data", "corpora", "models", "evaluation", "decoding", "attention"},
        *{"results", "plots", "report", "runs", "training", "experiment", "benchmark", "export"},
    },
    "__main__": {"cli"},
    "__init__": {"api", "attention", "config", "errors"},
}

# Packages without torch. In `attention` only the modules that ask a model import torch.
WITHOUT_TORCH = ("evaluation", "results", "plots", "attention", "report")
WITH_TORCH = ("seq2attn.attention.drops", "seq2attn.attention.read")
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_MODULES = 250
MAX_PACKAGE_LINES = 2350

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


def package_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def is_allowed(imported: str, importer: str) -> bool:
    """Whether a module of the package `importer` may import `imported`, a name below the package."""
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
        ("api.scores.score", "cli", False),
        ("plots.figure", "training", False),
        ("score", "cli", False),
        ("cli.app.main", "api", False),
    ],
)
def test_the_rules_are_applied_as_intended(imported: str, importer: str, allowed: bool) -> None:
    assert is_allowed(imported, importer) is allowed


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_go_downward(path: Path) -> None:
    importer = package_of(path)
    assert importer in MAY_IMPORT, f"{importer} is a package without rules; add them here"
    wrong = [
        f"line {line}: {name}"
        for line, name in imports(parse(path))
        # Every module may import the package itself, for its version.
        if name.startswith("seq2attn.") and not is_allowed(name.removeprefix("seq2attn."), importer)
    ]
    assert not wrong


@pytest.mark.parametrize("without", WITHOUT_TORCH)
def test_packages_of_strings_and_numbers_import_no_torch(without: str) -> None:
    for path, name in zip(MODULES, NAMES, strict=True):
        if package_of(path) == without and name not in WITH_TORCH:
            assert not [line for line, imported in imports(parse(path)) if imported.split(".")[0] == "torch"], name


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_modules_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, Function)]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_public_functions_are_typed(path: Path) -> None:
    untyped = []
    for node in ast.walk(parse(path)):
        if not isinstance(node, Function) or node.name.startswith("_"):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        bare = [
            argument.arg
            for argument in arguments
            if argument.annotation is None and argument.arg not in ("self", "cls")
        ]
        if bare or node.returns is None:
            untyped.append(f"line {node.lineno}: {node.name}")
    assert not untyped


def test_there_are_few_modules_and_no_package_is_large() -> None:
    assert len(MODULES) <= MAX_MODULES
    lines: dict[str, int] = {}
    for path in MODULES:
        package = str(path.relative_to(PACKAGE).parent)  # each folder by itself
        lines[package] = lines.get(package, 0) + len(path.read_text(encoding="utf-8").splitlines())
    assert {package: total for package, total in lines.items() if total > MAX_PACKAGE_LINES} == {}


def modules_after(statement: str) -> set[str]:
    """The modules loaded in a new interpreter after `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["seq2attn", "seq2attn.cli.app", "seq2attn.config.load"])
def test_quick_commands_load_nothing_heavy(module: str) -> None:
    heavy = {"torch", "datasets", "pyarrow", "matplotlib", "sentencepiece", "sacrebleu", "numpy"}
    assert not modules_after(f"import {module}") & heavy


@pytest.mark.parametrize("without", WITHOUT_TORCH)
def test_packages_of_strings_and_numbers_load_no_torch(without: str) -> None:
    names = [name for name in NAMES if name.startswith(f"seq2attn.{without}.") and name not in WITH_TORCH]
    names = [name for name in names if not name.endswith("__init__")]
    loaded = modules_after(f"import {', '.join(names)}")
    assert set(names) <= loaded
    assert "torch" not in loaded
