"""Write what under docs/ is made from something else

From the code: configuration.md, and the tree in architecture.md. From the published studies: the tables of claims in
studies.md.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from seq2attn.config.models import MODEL_KINDS, KeptHeads
from seq2attn.config.schema import Config, DataConfig, DecodeConfig, JoinConfig, SubwordsConfig, TrainConfig
from seq2attn.report.study import VERDICT_WORDS

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "docs" / "configuration.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
STUDIES = ROOT / "docs" / "studies.md"

_SECTIONS: Mapping[str, type[BaseModel]] = {
    "data": DataConfig,
    "data.join": JoinConfig,
    "subwords": SubwordsConfig,
    **{f"model (kind: {kind})": config for kind, config in MODEL_KINDS.items()},
    "model.kept_heads": KeptHeads,
    "train": TrainConfig,
    "decode": DecodeConfig,
}
_INTRODUCTION = """\
<!-- Written by scripts/make_docs.py from seq2attn/config/schema.py and models.py; change it there. -->
# Configuration

A configuration is a YAML file with the settings that differ from the defaults below. Every key can also be set on the
command line, as in `--set train.seed=2`; an empty value (`--set train.max_minutes=`) unsets it. The resolved
configuration is saved with each run as `config.yaml`. Only `data`, `model` and `train` are required.
"""
_BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


def configuration_page() -> str:
    """Every key with its values, default and meaning, as Markdown."""
    name = Config.model_json_schema()["properties"]["name"]
    parts = [_INTRODUCTION, "## Top level\n", _table({"name": name})]
    for title, section in _SECTIONS.items():
        schema = section.model_json_schema()
        parts += [f"## {title}\n", _one_line(schema["description"]) + "\n", _table(schema["properties"])]
    return "\n".join(parts)


def _table(properties: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key, schema in properties.items():
        cells = (f"`{key}`", _values(schema), _default(schema), _one_line(schema["description"]))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _values(schema: Mapping[str, Any]) -> str:
    """What may be given: `integer > 0`, or the choices."""
    if choices := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(_values(choice) for choice in choices if choice.get("type") != "null")
    if "$ref" in schema:
        return "the keys below"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] == "array":
        of = schema["items"]["type"]
        return f"list of {'list' if of == 'array' else of}s"
    bounds = [f"{sign} {schema[bound]:.12g}" for bound, sign in _BOUNDS.items() if bound in schema]
    return " ".join([schema["type"], ", ".join(bounds)]).strip()


def _default(schema: Mapping[str, Any]) -> str:
    """The default as it is written in YAML; a dash where a key may be left without a value."""
    default = schema.get("default")
    if default is None:
        return "–"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def architecture_page(page: str) -> str:
    """`page`, with the tree of modules in its last code block as it is now."""
    head, _, _ = page.partition("```\n")
    return f"{head}```\n{module_tree()}```\n"


def module_tree() -> str:
    """Every module of the package with the first line of its docstring, packages last."""
    lines = ["seq2attn/", *_tree_lines(ROOT / "seq2attn")]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _tree_lines(folder: Path, indent: str = "") -> list[str]:
    files = [path for path in sorted(folder.glob("*.py")) if not (indent and path.name == "__init__.py")]
    lines = [f"{indent}  {path.name:<22} {_first_line(path)}" for path in files]
    for package in sorted(path.parent for path in folder.glob("*/__init__.py")):
        opening = f"{indent}  {package.name}/  {_first_line(package / '__init__.py')}"
        lines += [opening, *_tree_lines(package, f"{indent}  ")]
    return lines


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")


_CLAIMS = re.compile(r"(<!-- claims of (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def studies_page(page: str) -> str:
    """`page`, with the tables between its marks as the published studies have them."""
    return _CLAIMS.sub(lambda found: found[1] + claims_table(STUDIES.parent / found[2]) + found[3], page)


def claims_table(folder: Path) -> str:
    """The claims of the study in `folder`, each with its verdict and the estimate that it rests on."""
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    rows = ["| claim | needs | measured | verdict |", "| --- | --- | --- | --- |"]
    for judged in study["claims"]:
        claim, worst, number = judged["claim"], judged["worst"], len(judged["estimates"])
        bounds = "" if worst["low"] is None else f" ({worst['low']:.3g} to {worst['high']:.3g})"
        runs = f", the least favourable of {number}" if number > 1 else ""
        measured = f"{worst['value']:.3g}{bounds}{runs}"
        needs = f"{'>' if claim['above'] else '<'} {claim['margin']:g}"
        rows.append(f"| {claim['text']} | {needs} | {measured} | {VERDICT_WORDS[judged['verdict']]} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    CONFIGURATION.write_text(configuration_page(), encoding="utf-8")
    ARCHITECTURE.write_text(architecture_page(ARCHITECTURE.read_text(encoding="utf-8")), encoding="utf-8")
    STUDIES.write_text(studies_page(STUDIES.read_text(encoding="utf-8")), encoding="utf-8")
