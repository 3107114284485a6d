"""Paragraphs and their translations from two folders of HTML pages with the same relative paths."""

from __future__ import annotations

import codecs
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from seq2attn.corpora.imported import Passage, check_output, parse_languages, write_corpus
from seq2attn.data.cleaning import normalise
from seq2attn.errors import DataError

Block = tuple[str, str]
"""The element that contains a text (`p`, `li`, …), and the text."""

_SUFFIXES = (".html", ".htm", ".xhtml")
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_HEAD_BYTES = 2048

_BLOCKS = frozenset(
    [
        *("p", "li", "dt", "dd", "td", "th", "caption", "figcaption", "blockquote", "summary", "address"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "body", "div", "section", "article", "main", "aside", "header", "footer"),
        *("figure", "form", "details", "fieldset", "hr", "ul", "ol", "dl", "table", "thead", "tbody", "tfoot", "tr"),
    ]
)
_NOT_TEXT = frozenset(
    [
        *("script", "style", "pre", "nav", "noscript", "template", "svg", "math", "select", "textarea", "button"),
        *("iframe", "object", "audio", "video", "title"),
    ]
)

# Costs of the alignment, in units of -log probability. Leaving out two blocks costs less than pairing them if one is
# more than 2.7 times as long as expected from the other.
_LENGTH_STD = 0.35
_SMOOTHING_CHARACTERS = 8
_NUMBERS_ON_ONE_SIDE_COST = 1.0
_UNPAIRED_COST = 2.0
_REACH = 50
# A page is dropped if a lower fraction of its blocks have a partner, or of its translated blocks with numbers: few do
# on a page whose entries each language sorts by its own alphabet.
_LEAST_PAIRED = 0.5
_LEAST_PAIRED_NUMBERS, _ENOUGH_NUMBERS = 0.6, 5


def import_pages(folders: Sequence[Path], direction: str, out: Path, licence: str) -> dict[str, Any]:
    """Write the paragraphs of two folders of pages as a corpus to `out`; its card.

    folders: of the source's pages and of the target's. direction: of translation, as in `fr-en`.

    Raises: DataError for wrong codes, unusable pages, or a folder `out` that is not empty; DiskError.
    """
    check_output(out)
    languages = parse_languages(direction)
    if len(folders) != 2:
        raise DataError(f"--html: expected two folders, of the source's pages and of the target's, not {len(folders)}")
    counts: Counter[str] = Counter()
    facts = {"kind": "HTML pages", "origin": list(map(str, folders)), "licence": licence}
    return write_corpus(out, read_pages(folders[0], folders[1], counts), languages, counts, facts)


def read_pages(source_folder: Path, target_folder: Path, counts: Counter[str]) -> Iterator[Passage]:
    """The aligned blocks of every page that both folders have, in the order of their paths; fills `counts`.

    Raises: DataError if a folder is missing, no page has a partner, or a page cannot be read.
    """
    sources, targets = _find_pages(source_folder), _find_pages(target_folder)
    common = [name for name in sources if name in targets]
    if not common:
        raise DataError(
            f"{source_folder} and {target_folder}: no page has the same path in both; found {len(sources)} and "
            f"{len(targets)} pages"
        )
    counts["pages"] = len(common)
    counts["pages in the source's language only"] = len(sources) - len(common)
    counts["pages in the target's language only"] = len(targets) - len(common)
    pages = {name: (read_blocks(sources[name]), read_blocks(targets[name])) for name in common}
    lengths = [sum(len(text) for page in pages.values() for _, text in page[side]) for side in (0, 1)]
    ratio = lengths[1] / lengths[0] if all(lengths) else 1.0
    for name, (source, target) in pages.items():
        pairs = align_blocks(source, target, ratio)
        longer = max(len(source), len(target))
        counts["blocks"] += longer
        if reason := _reason_to_drop(source, target, pairs):
            counts[f"pages dropped: {reason}"] += 1
            counts[f"dropped: on a page that is {reason}"] += longer
            continue
        counts["dropped: no partner on the page"] += longer - len(pairs)
        for row, column in pairs:
            yield Passage(source[row][1], target[column][1], name)


def read_blocks(path: Path) -> list[Block]:
    """The text blocks of a page, in order, each with normalised text.

    Raises: DataError if the page cannot be read or decoded.
    """
    parser = _BlockParser()
    try:
        parser.feed(_decode(path.read_bytes(), path))
        parser.close()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except AssertionError as error:  # html.parser, for some malformed declarations
        raise DataError(f"{path}: not valid HTML ({error}); correct the page, or leave it out") from error
    return parser.blocks


def align_blocks(source: Sequence[Block], target: Sequence[Block], ratio: float) -> list[tuple[int, int]]:
    """Pairs (source block, target block) of the same element, both increasing, with the least total cost.

    A pair costs more the more the lengths differ (after Gale and Church 1993), and if one text alone has digits; texts
    with different digits are no pair. A block without a partner has a fixed cost.

    ratio: characters of the target for each of the source.
    """
    rows, columns = len(source), len(target)
    reach = abs(rows - columns) + _REACH
    lengths = [math.log(len(text) * ratio + _SMOOTHING_CHARACTERS) for _, text in source]
    target_lengths = [math.log(len(text) + _SMOOTHING_CHARACTERS) for _, text in target]
    digits, target_digits = _digits_of(source), _digits_of(target)

    def cost(row: int, column: int) -> float:
        if source[row][0] != target[column][0]:
            return math.inf
        deviation = (lengths[row] - target_lengths[column]) / _LENGTH_STD
        return deviation**2 / 2 + _cost_of_numbers(digits[row], target_digits[column])

    return _cheapest_path(rows, columns, reach, cost)


def _cheapest_path(rows: int, columns: int, reach: int, cost: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """The pairs on the cheapest monotone path from corner to corner, in a band around the diagonal."""
    above = [math.inf] * (columns + 1)
    steps = [bytearray(columns + 1) for _ in range(rows + 1)]
    for row in range(rows + 1):
        here = [math.inf] * (columns + 1)
        for column in range(max(0, row - reach), min(columns, row + reach) + 1):
            options = [(0.0, 0)] if row == column == 0 else []
            if row and column:
                options.append((above[column - 1] + cost(row - 1, column - 1), 0))
            if row:
                options.append((above[column] + _UNPAIRED_COST, 1))
            if column:
                options.append((here[column - 1] + _UNPAIRED_COST, 2))
            here[column], steps[row][column] = min(options)
        above = here
    pairs = []
    row, column = rows, columns
    while row or column:
        step = steps[row][column]
        row, column = row - (step != 2), column - (step != 1)
        if step == 0:
            pairs.append((row, column))
    return pairs[::-1]


def _cost_of_numbers(digits: str, target_digits: str) -> float:
    if digits == target_digits:
        return 0.0
    return math.inf if digits and target_digits else _NUMBERS_ON_ONE_SIDE_COST


def _digits_of(blocks: Sequence[Block]) -> list[str]:
    """The sorted digits of each text, whichever way its numbers are grouped, ordered and written."""
    return ["".join(sorted(str(int(digit)) for digit in re.findall(r"\d", text))) for _, text in blocks]


def _reason_to_drop(source: Sequence[Block], target: Sequence[Block], pairs: Sequence[tuple[int, int]]) -> str | None:
    """Why the pairs of a page are not to be trusted; None if they are."""
    if len(pairs) < _LEAST_PAIRED * max(len(source), len(target)):
        return "too different"
    partners = dict(pairs)
    digits, target_digits = _digits_of(source), _digits_of(target)
    with_numbers = paired = 0
    for row, text in enumerate(source):
        partner = partners.get(row)
        if digits[row] and (partner is None or text != target[partner]):
            with_numbers += 1
            paired += partner is not None and digits[row] == target_digits[partner]
    if with_numbers >= _ENOUGH_NUMBERS and paired < _LEAST_PAIRED_NUMBERS * with_numbers:
        return "in another order"
    return None


def _find_pages(folder: Path) -> dict[str, Path]:
    """The pages of a folder by their relative paths."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; --html needs a folder of pages for each language")
    files = sorted(file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return {file.relative_to(folder).as_posix(): file for file in files}


def _decode(content: bytes, path: Path) -> str:
    """The text of a page by its byte-order mark, else by the charset that it declares, else as UTF-8."""
    declared = _CHARSET.search(content[:_HEAD_BYTES])
    charset = declared[1].decode("ascii") if declared else "utf-8"
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            charset = name
    try:
        return content.decode(charset)
    except LookupError as error:
        raise DataError(f"{path}: declares the unknown charset {charset}; correct the page") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not valid {charset} at byte {error.start}; declare the page's charset") from error


class _BlockParser(HTMLParser):
    """Collects the text of each block element, without that of the elements inside it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._open: list[str] = []
        self._text: list[str] = []
        # The element whose content is skipped, and how many of it are open.
        self._skipped, self._depth = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, or skip what is not text."""
        if self._depth:
            self._depth += tag == self._skipped
        elif tag in _NOT_TEXT:
            self._skipped, self._depth = tag, 1
        elif tag in _BLOCKS:
            self._end_block()
            if self._open and self._open[-1] == tag == "p":
                self._open.pop()
            self._open.append(tag)
        elif tag == "br":
            self._text.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Divide the text at an empty element such as `<p/>`."""
        if not self._depth and tag not in _NOT_TEXT:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """End the innermost open block of this name, with all that are open inside it."""
        if self._depth:
            self._depth -= tag == self._skipped
        elif tag in self._open:
            self._end_block()
            last = len(self._open) - 1 - self._open[::-1].index(tag)
            del self._open[last:]

    def handle_data(self, data: str) -> None:
        """Collect text."""
        if not self._depth:
            self._text.append(data)

    def close(self) -> None:
        """End the last block."""
        super().close()
        self._end_block()

    def _end_block(self) -> None:
        text = normalise("".join(self._text))
        self._text.clear()
        if text and self._open:
            self.blocks.append((self._open[-1], text))
