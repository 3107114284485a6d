"""Messages and their translations from gettext catalogues: `.po` and `.mo` files, read with polib."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from gettext import c2py
from pathlib import Path
from typing import Any

import polib

from seq2attn.corpora.imported import Passage, check_output, parse_languages, write_corpus
from seq2attn.errors import DataError

_SUFFIXES = (".po", ".mo")
# polib splits text where Python does; inside a message, these separators are blanks.
_SEPARATORS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_ERROR_LINE = re.compile(r"\(line (\d+)\)")
_CREDITS = frozenset({"translator-credits", "translator_credits", "Your names", "Your emails"})

_TAG = re.compile(r"<(?P<end>/?)(?P<name>[A-Za-z][\w.:-]*)(?P<attributes>\s[^<>]*?)?(?P<empty>/?)>")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);")
_BREAKS = frozenset({"br", "p", "para", "li", "tr", "td", "item"})

_ACCELERATORS = "_&~"
# Scripts without capital letters name the key in parentheses: 文件(_F).
_KEY_IN_PARENTHESES = re.compile(rf"\s*\([{_ACCELERATORS}]\w\)")
_LONGEST_LABEL_WORDS = 8


def import_catalogs(
    paths: Sequence[Path], direction: str, folder: Path, licence: str, msgid_language: str | None = None
) -> dict[str, Any]:
    """Write the messages in `paths` and their translations as a corpus to `folder`; its card.

    paths: as in `read_catalogs`. direction: of translation, as in `en-fr`. msgid_language: the code of the two in which
    the messages are written; by default the first.

    Raises: DataError for wrong codes, unusable files, or a folder that is not empty; DiskError.
    """
    check_output(folder)
    languages = parse_languages(direction)
    msgid_language = msgid_language or languages[0]
    if msgid_language not in languages:
        raise DataError(f"--msgid-language {msgid_language}: not one of the --languages {direction}")
    counts: Counter[str] = Counter()
    swapped = msgid_language != languages[0]
    passages = read_catalogs(paths, languages[0] if swapped else languages[1], counts)
    if swapped:
        passages = (replace(passage, source=passage.target, target=passage.source) for passage in passages)
    facts = {"kind": "gettext catalogues", "origin": list(map(str, paths)), "licence": licence}
    return write_corpus(folder, passages, languages, counts, facts)


def read_catalogs(paths: Sequence[Path], language: str, counts: Counter[str]) -> Iterator[Passage]:
    """Each usable message (source) with its translation (target), in the order of sorted paths.

    paths: files, or folders, which are searched with their subfolders. language: code of the translations; catalogues
    that say they are of another language are skipped. counts: filled with what was read and skipped.

    Raises: DataError if a path is missing, a folder has no catalogue, or a catalogue cannot be read.
    """
    catalogs = list(_find_catalogs(paths))
    named_by_language = any(_code(path.stem) == language for _, path in catalogs)
    for document, path in catalogs:
        catalog = _parse(path)
        found = _language_of(catalog, path, named_by_language)
        if found not in (None, language):
            counts["catalogues in other languages"] += 1
            continue
        counts["catalogues"] += 1
        singular = _singular_form(catalog)
        for entry in catalog:
            counts["messages"] += 1
            if reason := _reason_to_skip(entry):
                counts[f"dropped: {reason}"] += 1
                continue
            target = entry.msgstr_plural.get(singular, "") if entry.msgid_plural else entry.msgstr
            texts = without_accelerators(without_markup(entry.msgid), without_markup(target))
            # xml2po writes `page.xml:26(section/p)`, of which polib takes all for the name.
            file = re.sub(r":\d.*", "", entry.occurrences[0][0]) if entry.occurrences else None
            yield Passage(*texts, document, file)


def without_markup(text: str) -> str:
    """`text` without tags, and with entities as characters.

    A tag counts as one if its element ends in the text or has attributes; a lone `<file>` is a placeholder.
    """
    tags = list(_TAG.finditer(text))
    names = {tag["name"] for tag in tags if not tag["end"]} & {tag["name"] for tag in tags if tag["end"]}

    def rest(tag: re.Match[str]) -> str:
        if tag["name"] in _BREAKS and (tag["name"] in names or tag["name"] == "br"):
            return " "
        return "" if tag["name"] in names or tag["attributes"] else tag[0]

    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), _TAG.sub(rest, text))


def without_accelerators(source: str, target: str) -> tuple[str, str]:
    """The labels without the mark before the letter of their keyboard shortcut: `_File`, `&File`, `~File`, `文件(_F)`.

    A mark inside a word that is the same on both sides (`file_name`, `R&D`) stays, as do those of longer texts.
    """
    if max(len(source.split()), len(target.split())) > _LONGEST_LABEL_WORDS:
        return source, target
    texts = [_KEY_IN_PARENTHESES.sub("", text) for text in (source, target)]
    has_key = texts != [source, target]
    for mark in _ACCELERATORS:
        words = [_marked_word(text, mark) for text in texts]
        if _is_accelerator(mark, words, has_key):
            texts = [text.replace(mark, "") if word else text for text, word in zip(texts, words, strict=True)]
    return texts[0], texts[1]


def _marked_word(text: str, mark: str) -> str | None:
    """The word that contains the only `mark` of `text`, before a letter or digit."""
    found = re.search(rf"\w*{mark}(?!_)\w+", text)
    return found[0] if found and text.count(mark) == 1 else None


def _is_accelerator(mark: str, words: Sequence[str | None], has_key: bool) -> bool:
    marked = [word for word in words if word]
    if not marked:
        return False
    begins = all(word.startswith(mark) for word in marked)
    return begins or has_key or (len(marked) == 2 and marked[0] != marked[1])


def _find_catalogs(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Each catalogue with the name of its document; a `.mo` file only if there is no `.po` file of its name."""
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; give .po or .mo files, or folders that contain some")
        if path.is_file():
            if path.suffix not in _SUFFIXES:
                raise DataError(f"{path}: not a catalogue by its name; expected a .po or .mo file")
            yield str(path) if len(paths) > 1 else path.name, path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        if not found:
            raise DataError(f"{path}: contains no .po or .mo file")
        for file in found:
            if file.suffix == ".po" or file.with_suffix(".po") not in found:
                name = file if len(paths) > 1 else file.relative_to(path)
                yield name.as_posix(), file


def _parse(path: Path) -> Any:
    """The polib object of a catalogue; polib leaves files open when it fails, so it gets their content."""
    try:
        content = path.read_bytes()
        if path.suffix == ".mo":
            return polib.mofile(content)
        text = content.decode(polib.detect_encoding(content)).removeprefix("\ufeff")
        return polib.pofile(_SEPARATORS.sub(" ", text))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not valid {error.encoding} at byte {error.start}; correct its charset") from error
    except Exception as error:  # of damaged files, polib raises whatever its parser runs into
        # The message quotes the whole content before the number of the line.
        lines = _ERROR_LINE.findall(str(error))
        place = f"{path}:{lines[-1]}" if lines else str(path)
        kind = "a compiled catalogue (.mo)" if path.suffix == ".mo" else "a gettext catalogue (.po)"
        raise DataError(f"{place}: cannot be read as {kind}; check the file, or leave it out") from error


def _language_of(catalog: Any, path: Path, named_by_language: bool) -> str | None:
    """The code in the header, else in `fr/LC_MESSAGES/x.mo`, else in `po/fr.po`; None if none names one.

    named_by_language: whether the names of files are languages, and not such as `ui.po`.
    """
    if name := catalog.metadata.get("Language"):
        return _code(name)
    if path.parent.name == "LC_MESSAGES":
        return _code(path.parent.parent.name)
    return _code(path.stem) if named_by_language and re.fullmatch(r"[a-z]{2,3}([_@].+)?", path.stem) else None


def _code(name: str) -> str:
    """The code of the language in a name such as `pt_BR` or `sr@latin`."""
    return re.split(r"[_@.-]", name.strip().lower())[0]


def _singular_form(catalog: Any) -> int:
    """The number of the plural form for one thing, by the formula in the header; 0 without a valid one."""
    formula = re.search(r"plural\s*=\s*([^;]+)", catalog.metadata.get("Plural-Forms", ""))
    try:
        return c2py(formula[1].strip())(1) if formula else 0
    except (ValueError, RecursionError, ZeroDivisionError):
        return 0


def _reason_to_skip(entry: Any) -> str | None:
    if entry.obsolete:
        return "obsolete"
    if "fuzzy" in entry.flags:
        return "fuzzy"
    return "translators' credits" if entry.msgid in _CREDITS else None
