"""Fonts for labels in any script."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font, StyleFlags

_USUAL = "DejaVu Sans"
_PLACEHOLDERS = "Last Resort High-Efficiency"


def fonts_for(labels: Iterable[str]) -> tuple[list[str], str]:
    """Families that together have the signs of `labels`, and the signs that no font of this machine has.

    Matplotlib's own font comes first, and brings Latin, Greek, Cyrillic, Arabic and Hebrew. The machine's fonts are
    looked through for the rest alone, and at the files themselves: matplotlib's list of them may be an old one. What is
    missing even so is drawn as the placeholders of its script.
    """
    usual = FT2Font(font_manager.findfont(_USUAL))
    families = [_USUAL]
    missing = {ord(sign) for label in labels for sign in label if not sign.isspace()} - set(usual.get_charmap())
    for path, font in _plain_first(font_manager.findSystemFonts()) if missing else ():
        if covered := missing & set(font.get_charmap()):
            font_manager.fontManager.addfont(path)
            families.append(font.family_name)
            missing -= covered
    return [*families, _PLACEHOLDERS] if missing else families, "".join(sorted(map(chr, missing)))


def _plain_first(paths: Iterable[str]) -> list[tuple[str, FT2Font]]:
    """The fonts that can be read: those that are neither bold nor italic first, then by their paths."""
    found = []
    for path in paths:
        try:
            found.append((path, FT2Font(path)))
        except (OSError, RuntimeError):  # a kind of file, or a damaged one, that cannot be drawn with
            continue
    return sorted(found, key=lambda one: (one[1].style_flags != StyleFlags.NORMAL, one[0]))
