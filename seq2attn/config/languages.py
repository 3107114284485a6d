"""What the length of a sentence is counted in: words, or characters where a language writes without spaces."""

from __future__ import annotations

import unicodedata

_UNSPACED = frozenset({"zh", "ja", "th", "km", "lo", "my"})
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "KHMER", "LAO", "MYANMAR")


def is_unspaced(language: str) -> bool:
    """Whether `language` (a two-letter code) is written without spaces between words."""
    return language in _UNSPACED


def count_words(text: str, unspaced: bool) -> int:
    """Words between blanks; characters other than blanks where the text is `unspaced`."""
    words = text.split()
    return sum(map(len, words)) if unspaced else len(words)


def has_unspaced_script(text: str) -> bool:
    """Whether a character of `text` belongs to a script that is written without spaces between words."""
    return any(unicodedata.name(character, "").startswith(_UNSPACED_SCRIPTS) for character in text)
