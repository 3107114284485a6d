"""The Bible translations that are free to use, and how the text of each is cleaned.

The database has 31 translations; these are the ones whose status is established. Excluded are revisions whose rights
are claimed or unclear (King James 2000, Ostervald 1996, Reina-Valera 1989, Nuova Diodati 1991, Almeida 1995, Schlachter
1951, the edited Darby with its references, the Elberfelder of 1932, …).
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from seq2attn.errors import FetchError

Reference = tuple[int, int, int]
"""Book (1 = Genesis … 66 = Revelation), chapter, verse, as the King James Version counts them."""

_PSALMS = 19
_ACROSTIC = (_PSALMS, 119)

# `(51:4)`, `(63:19b)`, and once `(5:21` without its end: verse numbers of the translation's own tradition.
_VERSE_MARK = re.compile(r"\(\d+[:.-]\d+[a-z]?\)?")
# Square brackets enclose words supplied by the translators, which are text; empty ones stand for omitted verses.
_SQUARE_BRACKET = re.compile(r"[\[\]]")
# In some translations, the stanzas of Psalm 119 begin with the name of a Hebrew letter.
_LETTER_NAME = re.compile(r"^[A-Z]{2,8}\.? (?=\S)")


@dataclass(frozen=True)
class Translation:
    """One translation: its key in the database, why it is free to use, and how its text is cleaned."""

    key: str
    """Its name in the database."""
    language: str
    title: str
    status: str
    has_psalm_titles: bool = True
    """Whether the first verse of a psalm begins with the psalm's title ("A Psalm. Of David.")."""
    gap: str | None = None
    """Pattern of the marks for untranslated words."""
    repairs: tuple[tuple[str, str], ...] = ()
    """Patterns and their replacements."""


TRANSLATIONS = {
    "en": Translation(
        "3",
        "en",
        "Bible in Basic English (1949/1964)",
        "held to be in the public domain in the United States; elsewhere protected until the end of 2038",
        gap=r"\*\*\*|\.\.\.",
    ),
    "kjv": Translation(
        "k", "en", "King James Version (1611/1769)", "public domain by age (United Kingdom: letters patent)", False
    ),
    "web": Translation(
        "4",
        "en",
        "World English Bible (2000)",
        "dedicated to the public domain by its editors",
        False,
        # Apostrophes are backticks; the title of each psalm is attached to the last verse of the psalm before it.
        repairs=((r"(?: BOOK [IV]+)? Psalm \d+\b.*$", ""), ("`", "'"), (r"(?<=[.!?;,]) [A-Z]{2,8}$", "")),
    ),
    "fr": Translation("l", "fr", "Louis Segond (1910)", "public domain by age (Segond died in 1885)"),
    "es": Translation(
        # The database has a soft hyphen in place of each opening exclamation mark.
        "v",
        "es",
        "Reina-Valera (1909)",
        "public domain by age (published before 1931)",
        repairs=(("\xad", "¡"),),
    ),
    "it": Translation("d", "it", "Diodati (1649)", "public domain by age (Diodati died in 1649)"),
    "ru": Translation(
        "r",
        "ru",
        "Synodal translation (1876)",
        "public domain by age (published in 1876)",
        repairs=((r"^\(ADDED FROM KJV:.*", ""),),
    ),
}
"""Translations by their name in a corpus: the language for its default translation, else an abbreviation."""


def read_verses(database: Path, translation: Translation) -> dict[Reference, str]:
    """The raw text of every verse of `translation`, in order.

    Raises: FetchError if the file is not the expected database.
    """
    query = "SELECT bNumber, cNumber, vNumber, vText FROM bible WHERE bbName = ? ORDER BY 1, 2, 3"
    try:
        connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute(query, (translation.key,)).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise FetchError(
            f"{database.name}: not the expected database of verses ({error}); use the published wheel"
        ) from error
    if not rows:
        raise FetchError(f"{database.name}: contains no verses of {translation.title}; use the published wheel")
    return {(book, chapter, verse): text for book, chapter, verse, text in rows}


def has_gap(text: str, translation: Translation) -> bool:
    """Whether the raw text of a verse has marks for untranslated words."""
    return translation.gap is not None and re.search(translation.gap, text) is not None


def clean_verse(text: str, reference: Reference, translation: Translation) -> str:
    """The verse without marks, brackets and headings, with single spaces; may be empty."""
    text = " ".join(text.split())
    for pattern, replacement in translation.repairs:
        text = re.sub(pattern, replacement, text)
    text = _SQUARE_BRACKET.sub("", _VERSE_MARK.sub("", text))
    text = " ".join(text.split())
    if reference[:2] == _ACROSTIC and reference[2] % 8 == 1:
        text = _LETTER_NAME.sub("", text)
    return text


def begins_with_title(reference: Reference) -> bool:
    """Whether the verse is the first of a psalm that has a title in Hebrew."""
    book, psalm, verse = reference
    return book == _PSALMS and verse == 1 and psalm not in _UNTITLED_PSALMS


_UNTITLED_PSALMS = frozenset(
    [
        1,
        2,
        10,
        33,
        43,
        71,
        91,
        *range(93, 98),
        99,
        *range(104, 108),
        *range(111, 120),
        *range(135, 138),
        *range(146, 151),
    ]
)
