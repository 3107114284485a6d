"""The unit of sentence length, words or characters in languages written without spaces; and what is punctuation."""

from __future__ import annotations

import unicodedata

_UNSPACED = frozenset({"zh", "ja", "th", "km", "lo", "my"})
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "KHMER", "LAO", "MYANMAR")


def is_unspaced(language: str) -> bool:
    """Whether `language` (a two-letter code) is written without spaces between words."""
    return language in _UNSPACED


def count_words(text: str, unspaced: bool) -> int:
    """Number of words separated by whitespace; for `unspaced` text, of characters other than whitespace."""
    words = text.split()
    return sum(map(len, words)) if unspaced else len(words)


def has_unspaced_script(text: str) -> bool:
    """Whether `text` has a character of a script written without spaces between words."""
    return any(unicodedata.name(character, "").startswith(_UNSPACED_SCRIPTS) for character in text)


def is_punctuation(text: str) -> bool:
    """Whether `text` has nothing but punctuation marks and symbols."""
    return all(unicodedata.category(character)[0] in "PS" for character in text)
