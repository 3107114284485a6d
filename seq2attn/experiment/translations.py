"""Translations of a split by a run, cached in the run's folder"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from seq2attn.config.schema import DecodeConfig
from seq2attn.data.store import Corpus
from seq2attn.decoding.translate import Translator
from seq2attn.errors import disk_errors
from seq2attn.runs.folder import TrainedRun

TranslationProgress = Callable[[str, int, int], object]
"""Called with a system's name, the number of sentences it has translated, and their total."""


@dataclass(frozen=True)
class SplitText:
    """The sentences that all systems translate."""

    corpus: Corpus
    split: str
    """The split; of joined sentences, with the number of them."""
    sources: tuple[str, ...]
    references: tuple[str, ...]
    digest: str
    """Changes where the text does."""


@dataclass(frozen=True)
class SplitTranslations:
    """A run's translations of a split."""

    texts: tuple[str, ...]
    cut_off: tuple[int, ...] | None
    """The rows that were cut off at the length cap; None for translations saved by a version that did not note them."""


def translations_of(
    run: TrainedRun,
    name: str,
    beam_size: int | None,
    text: SplitText,
    progress: TranslationProgress,
    length_penalty: float | None = None,
) -> SplitTranslations:
    """The text translated by `run`, or read from its folder if it was translated with this search before.

    Args:
        run: a trained run.
        name: what `progress` is called with.
        beam_size: None: that of the run.
        text: to be translated.
        progress: called with the number of translated sentences.
        length_penalty: None: that of the run.

    Raises: DiskError where the translations cannot be saved.
    """
    search = _search(run.config.decode, beam_size, length_penalty)
    key = {
        "weights": run.about["files"],
        "subwords": run.subwords.digest,
        "search": search.model_dump(exclude={"batch_tokens"}),
        "corpus": text.digest,
    }
    # The run's own length penalty has no name of its own: each search has one file.
    penalty = "" if search.length_penalty == run.config.decode.length_penalty else f".penalty{search.length_penalty:g}"
    kept = run.folder.path / "translations" / f"{text.split}.beam{search.beam_size}{penalty}.json"
    if (before := _read_kept(kept, key)) is not None:
        return before
    translations = _translate(run, search, text, partial(progress, name))
    record = {**key, "cut_off": translations.cut_off, "translations": translations.texts}
    with disk_errors(kept.parent):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(record, ensure_ascii=False, indent=0), encoding="utf-8")
    return translations


def _search(own: DecodeConfig, beam_size: int | None, length_penalty: float | None) -> DecodeConfig:
    """The run's own search with these changes; greedy search has no use for a length penalty and keeps the run's."""
    changed = own if beam_size is None else own.model_copy(update={"beam_size": beam_size})
    if length_penalty is None or changed.beam_size == 1:
        return changed
    return changed.model_copy(update={"length_penalty": length_penalty})


def _translate(
    run: TrainedRun, search: DecodeConfig, text: SplitText, progress: Callable[[int, int], object]
) -> SplitTranslations:
    finished = 0

    def count(sentences: int) -> None:
        nonlocal finished
        finished += sentences
        progress(finished, len(text.sources))

    found = Translator(run.model, run.subwords, search).translate_fully(text.sources, count)
    cut_off = (row for row, translation in enumerate(found) if not translation.finished)
    return SplitTranslations(tuple(translation.text for translation in found), tuple(cut_off))


def _read_kept(path: Path, key: Mapping[str, object]) -> SplitTranslations | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict):
        return None
    texts, cut_off = kept.pop("translations", ()), kept.pop("cut_off", None)
    return SplitTranslations(tuple(texts), None if cut_off is None else tuple(cut_off)) if kept == key else None
