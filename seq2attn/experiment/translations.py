"""Translations of a split by a run, cached in the run's folder"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

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


def translations_of(
    run: TrainedRun,
    name: str,
    beam_size: int | None,
    text: SplitText,
    progress: TranslationProgress,
    length_penalty: float | None = None,
) -> tuple[str, ...]:
    """The text translated by `run`, or read from its folder if it was translated before.

    Args:
        run: a trained run.
        name: what `progress` is called with.
        beam_size: None: that of the run.
        text: to be translated.
        progress: called with the number of translated sentences.
        length_penalty: None: that of the run.

    Raises: DiskError where the translations cannot be saved.
    """
    changes = {"beam_size": beam_size, "length_penalty": length_penalty}
    search = run.config.decode.model_copy(update={key: value for key, value in changes.items() if value is not None})
    key = {
        "weights": run.about["files"],
        "subwords": run.subwords.digest,
        "search": search.model_dump(exclude={"batch_tokens"}),
        "corpus": text.digest,
    }
    penalty = "" if length_penalty is None else f".penalty{length_penalty:g}"
    kept = run.folder.path / "translations" / f"{text.split}.beam{search.beam_size}{penalty}.json"
    if (before := _read_kept(kept, key)) is not None:
        return before
    total = len(text.sources)
    finished = 0

    def count(sentences: int) -> None:
        nonlocal finished
        finished += sentences
        progress(name, finished, total)

    translations = Translator(run.model, run.subwords, search).translate(text.sources, count)
    with disk_errors(kept.parent):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(
            json.dumps({**key, "translations": translations}, ensure_ascii=False, indent=0), encoding="utf-8"
        )
    return tuple(translations)


def _read_kept(path: Path, key: Mapping[str, object]) -> tuple[str, ...] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict):
        return None
    translations = tuple(kept.pop("translations", ()))
    return translations if kept == key else None
