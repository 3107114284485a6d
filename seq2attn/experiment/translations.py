"""Translations of a split by a run, cached in the run's folder"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
    run: TrainedRun, name: str, beam_size: int | None, text: SplitText, progress: TranslationProgress
) -> SplitTranslations:
    """The text translated by `run`, or read from its folder if it was translated with this search before.

    Args:
        run: a trained run.
        name: what `progress` is called with.
        beam_size: None: that of the run.
        text: to be translated.
        progress: called with the number of translated sentences.

    Raises: DiskError where the translations cannot be saved.
    """
    return translations_by_penalty(run, name, beam_size, [None], text, progress)[0]


def translations_by_penalty(
    run: TrainedRun,
    name: str,
    beam_size: int | None,
    length_penalties: Sequence[float | None],
    text: SplitText,
    progress: TranslationProgress,
) -> list[SplitTranslations]:
    """The same for each length penalty, None: that of the run; what is not in the folder yet is one search."""
    searches = [_search(run.config.decode, beam_size, penalty) for penalty in length_penalties]
    found: dict[float, SplitTranslations] = {}
    missing: dict[float, DecodeConfig] = {}
    for search in searches:
        if (before := _read_kept(run, search, text)) is None:
            missing[search.length_penalty] = search
        else:
            found[search.length_penalty] = before
    if missing:
        translated = _translate(run, searches[0], list(missing), text, partial(progress, name))
        for search, translations in zip(missing.values(), translated, strict=True):
            _keep(run, search, text, translations)
            found[search.length_penalty] = translations
    return [found[search.length_penalty] for search in searches]


def _search(own: DecodeConfig, beam_size: int | None, length_penalty: float | None) -> DecodeConfig:
    """The run's own search with these changes; greedy search has no use for a length penalty and keeps the run's."""
    changed = own if beam_size is None else own.model_copy(update={"beam_size": beam_size})
    if length_penalty is None or changed.beam_size == 1:
        return changed
    return changed.model_copy(update={"length_penalty": length_penalty})


def _translate(
    run: TrainedRun,
    search: DecodeConfig,
    length_penalties: Sequence[float],
    text: SplitText,
    progress: Callable[[int, int], object],
) -> list[SplitTranslations]:
    finished = 0

    def count(sentences: int) -> None:
        nonlocal finished
        finished += sentences
        progress(finished, len(text.sources))

    translator = Translator(run.model, run.subwords, search)
    return [
        SplitTranslations(
            tuple(translation.text for translation in found),
            tuple(row for row, translation in enumerate(found) if not translation.finished),
        )
        for found in translator.translate_by_penalty(text.sources, length_penalties, count)
    ]


def _file(run: TrainedRun, search: DecodeConfig, text: SplitText) -> Path:
    """Where the translations of a search are: the run's own length penalty has no name of its own."""
    penalty = "" if search.length_penalty == run.config.decode.length_penalty else f".penalty{search.length_penalty:g}"
    return run.folder.path / "translations" / f"{text.split}.beam{search.beam_size}{penalty}.json"


def _key(run: TrainedRun, search: DecodeConfig, text: SplitText) -> dict[str, object]:
    """What translations depend on."""
    return {
        "weights": run.about["files"],
        "subwords": run.subwords.digest,
        "search": search.model_dump(exclude={"batch_tokens"}),
        "corpus": text.digest,
    }


def _read_kept(run: TrainedRun, search: DecodeConfig, text: SplitText) -> SplitTranslations | None:
    try:
        kept = json.loads(_file(run, search, text).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict):
        return None
    texts, cut_off = kept.pop("translations", ()), kept.pop("cut_off", None)
    if kept != _key(run, search, text):
        return None
    return SplitTranslations(tuple(texts), None if cut_off is None else tuple(cut_off))


def _keep(run: TrainedRun, search: DecodeConfig, text: SplitText, translations: SplitTranslations) -> None:
    path = _file(run, search, text)
    record = {**_key(run, search, text), "cut_off": translations.cut_off, "translations": translations.texts}
    with disk_errors(path.parent):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record, ensure_ascii=False, indent=0), encoding="utf-8")
