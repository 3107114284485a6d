"""`seq2attn data`: list, show and fetch public corpora, and import translated files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2attn.cli.options import JsonOption

if TYPE_CHECKING:
    from seq2attn.corpora.catalog import Family

data_app = typer.Typer(no_args_is_help=True, help="List, show and fetch public corpora; import translated files.")

_SAMPLES = 3
_MAX_CODES_LISTED = 25
_COLUMNS = ("name", "what", "XX and YY", "size", "tried live")
_PLAIN_YAML = re.compile(r"[\w./][\w./-]*")
_LEGEND = (
    "Not yet tried live: tested on local files of the same layout, not yet against the live hub. "
    "--json lists every name."
)

Name = Annotated[str, typer.Argument(help="A name from `seq2attn data list`, such as bible-fr-en.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="SEQ2ATTN_DATA",
        help="Folder that holds all corpora.",
        show_default="./data if it exists, else the user's data folder",
    ),
]


@data_app.command("list")
def list_corpora(as_json: JsonOption = False) -> None:
    """List the corpora that can be fetched by name."""
    from seq2attn.corpora.catalog import FAMILIES

    if as_json:
        _print_json([_family_as_json(family) for family in FAMILIES])
        return
    rows = [_family_row(family) for family in FAMILIES]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        for row in (_COLUMNS, *rows):
            typer.echo("\t".join(row))


@data_app.command()
def show(name: Name, as_json: JsonOption = False, data_dir: DataDir = None) -> None:
    """Show where a corpus comes from and, once fetched, its counts and a few sentence pairs."""
    from dataclasses import asdict

    from seq2attn.corpora import catalog
    from seq2attn.data import store

    folder = _data_folder(data_dir)
    card: dict[str, Any] = asdict(catalog.find(name))
    if fetched := store.is_kept(folder, name):
        card |= store.read_card(folder, name)
        card["folder"] = str(store.corpus_folder(folder, name))
        card["samples"] = store.read_rows(store.split_files(folder, name)["train"], _SAMPLES)
    if as_json:
        _print_json(card | {"fetched": fetched})
        return
    _print_card(card)
    if not fetched:
        typer.echo(f"Not fetched yet; run `seq2attn data fetch {name}`.")


@data_app.command()
def fetch(
    name: Name,
    local: Annotated[
        Path | None, typer.Option("--from", help="Read this downloaded file or folder instead of the network.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Fetch a corpus and print its folder."""
    from seq2attn.corpora import catalog

    typer.echo(str(catalog.fetch(name, _data_folder(data_dir), local=local)))


@data_app.command("import")
def import_corpus(
    paths: Annotated[
        list[Path], typer.Argument(help="Catalogues, or folders that contain some; with --html, the two folders.")
    ],
    languages: Annotated[str, typer.Option(metavar="SOURCE-TARGET", help="Codes of both languages, as in en-fr.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the corpus.")],
    po: Annotated[bool, typer.Option("--po", help="Read gettext catalogues, .po and .mo.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Read HTML pages: source folder, then target folder.")] = False,
    msgid_language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Language of the msgids.", show_default="SOURCE")
    ] = None,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the text, for the card.")] = "not given",
    as_json: JsonOption = False,
) -> None:
    """Turn translated files (gettext catalogues or HTML pages) into a corpus, and print its configuration."""
    from seq2attn.errors import ConfigError

    if po == html:
        raise ConfigError("data import: give --po for gettext catalogues or --html for two folders of pages")
    if po:
        from seq2attn.corpora.gettext_catalogs import import_catalogs

        card = import_catalogs(paths, languages, out, licence, msgid_language)
    elif msgid_language is None:
        from seq2attn.corpora.html_pages import import_pages

        card = import_pages(paths, languages, out, licence)
    else:
        raise ConfigError("--msgid-language: HTML pages have no msgids; leave it out")
    if as_json:
        _print_json(card)
    else:
        _print_import(card, out)


def _print_import(card: dict[str, Any], folder: Path) -> None:
    """Print the counts as comments and the section `data`, so that the whole output is YAML."""
    from seq2attn.corpora.imported import LONG_WORDS

    for name, number in card["counts"].items():
        typer.echo(f"# {name}: {number:,}")
    for split, pairs in card["pairs"].items():
        documents, long = card["documents"][split], card["long_sources"][split]
        typer.echo(
            f"# {split}: {pairs:,} pairs of {documents:,} documents, {long:,} sources of {LONG_WORDS} words and more"
        )
    typer.echo("data:")
    for split in card["pairs"]:
        # JSON's quotes are YAML's too; most names need none.
        file = (folder / f"{split}.jsonl").as_posix()
        typer.echo(f"  {split}: {file if _PLAIN_YAML.fullmatch(file) else json.dumps(file)}")
    typer.echo(f"  source_language: {card['source_language']}\n  target_language: {card['target_language']}")


def _data_folder(given: Path | None) -> Path:
    from seq2attn.data.store import data_folder

    return given or data_folder(None)


def _family_as_json(family: Family) -> dict[str, Any]:
    return {
        "name": family.pattern,
        "title": family.title,
        "origin": family.entries[0].origin,
        "size": family.entries[0].size,
        "tried": all(entry.tried for entry in family.entries),
        "corpora": [entry.name for entry in family.entries],
    }


def _family_row(family: Family) -> tuple[str, ...]:
    stem = family.pattern.removesuffix("-XX-YY")
    codes = sorted({code for entry in family.entries for code in entry.name.removeprefix(stem).split("-") if code})
    listed = " ".join(codes) if len(codes) <= _MAX_CODES_LISTED else f"{len(codes)} languages"
    tried = all(entry.tried for entry in family.entries)
    return family.pattern, family.title, listed, family.entries[0].size, "yes" if tried else "not yet"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*_COLUMNS, caption=_LEGEND, caption_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _print_card(card: dict[str, Any]) -> None:
    """Print one `key: value` per line, nested values indented under their key."""
    for key, value in card.items():
        label = key.replace("_", " ")
        if isinstance(value, dict):
            typer.echo(f"{label}:")
            for inner_key, inner in value.items():
                typer.echo(f"  {inner_key}: {inner:,}" if isinstance(inner, int) else f"  {inner_key}: {inner}")
        elif key == "samples":
            typer.echo("samples:")
            for row in value:
                typer.echo(f"  {row['source']}\n    {row['target']}")
        elif key == "tried":
            typer.echo(f"tried live: {'yes' if value else 'not yet tried against the live hub'}")
        else:
            typer.echo(f"{label}: {', '.join(value) if isinstance(value, list) else value}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
