"""The claims about the bottleneck, from translations of joined sentences (docs/claims.md)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seq2attn.data.derived import join_texts
from seq2attn.evaluation.lengths import DEFAULT_BINS, length_unit, sentence_lengths
from seq2attn.evaluation.metrics import Bleu, Chrf
from seq2attn.evaluation.resampling import Clusters
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.experiment.translations import SplitText, TranslationProgress, translations_by_penalty, translations_of
from seq2attn.results.bottleneck import BottleneckClaim, LengthOutputs, judge
from seq2attn.results.claims import NO_ATTENTION
from seq2attn.runs.folder import TrainedRun

Translations = Mapping[str, Sequence[str]]
"""By the name of the run."""

_GREEDY = "greedy search"
_PENALTIES: Mapping[str, float] = {"length penalty 0": 0.0, "length penalty 0.6": 0.6, "length penalty 1": 1.0}


def is_joined(text: SplitText) -> bool:
    """Whether `data.join` joins the sentences of all splits."""
    return "members" in text.corpus.splits[text.split].column_names


def one_by_one(text: SplitText, translations: Sequence[str]) -> tuple[str, ...]:
    """For each joined input the translations of its sentences alone, joined: the same content at the least length.

    `translations`: of all inputs of `text`, which has every sentence as an input of its own.
    """
    members = text.corpus.splits[text.split]["members"]
    alone = {rows[0]: translation for rows, translation in zip(members, translations, strict=True) if len(rows) == 1}
    return tuple(join_texts([alone[row] for row in rows], text.corpus.target_language) for rows in members)


def document_numbers(text: SplitText) -> Clusters:
    """The number of each sentence's document, or of the block it was joined in; without one, a number of its own."""
    names = text.corpus.splits[text.split]["document"]
    keys = [f"row {row}" if name is None else f"document {name}" for row, name in enumerate(names)]
    return np.unique(keys, return_inverse=True)[1]


def search_otherwise(
    runs: Mapping[str, TrainedRun], text: SplitText, beam_size: int | None, progress: TranslationProgress
) -> Mapping[str, Translations]:
    """The text translated by every run with each search of the claim *not search alone*, by the search's name.

    A run's own search is made on the way, where it is a beam too. `beam_size`: of all but greedy search; None: that of
    the run.
    """
    found: dict[str, dict[str, Sequence[str]]] = {search: {} for search in (_GREEDY, *_PENALTIES)}
    for name, run in runs.items():
        found[_GREEDY][name] = translations_of(run, f"{name}, {_GREEDY}", 1, text, progress).texts
        penalties = (None, *_PENALTIES.values())
        _, *others = translations_by_penalty(run, f"{name}, length penalties", beam_size, penalties, text, progress)
        for search, translations in zip(_PENALTIES, others, strict=True):
            found[search][name] = translations.texts
    return found


def judge_runs(
    runs: Mapping[str, TrainedRun],
    models: Mapping[str, Sequence[str]],
    text: SplitText,
    clusters: Clusters,
    translations: Translations,
    searches: Mapping[str, Translations] | None = None,
) -> tuple[BottleneckClaim, ...]:
    """All claims about the first model with a fixed context; none without it and a recurrent one with attention.

    Lengths are those of the source and buckets are the default ones, however else the runs are evaluated.

    Args:
        runs: by name.
        models: for each system the names of its runs, one for each seed.
        text: joined sentences.
        clusters: the document or block of each input.
        translations: with each run's own search.
        searches: with other searches, by the name of the search.
    """
    first = {name: runs[members[0]].config.model for name, members in models.items()}
    fixed = [name for name, model in first.items() if model.attention == NO_ATTENTION]
    attending = sorted(first.keys() - fixed, key=lambda name: (first[name].kind != "rnn", list(first).index(name)))
    if not fixed or not attending or first[attending[0]].kind != "rnn":
        return ()
    bleu, chrf = Bleu(tokenizer_for(text.corpus.target_language)), Chrf()

    def outputs(name: str, translated: Translations) -> LengthOutputs:
        seeds = [translated[run] for run in models[name]]
        references = [text.references]
        return LengthOutputs(name, bleu.statistics(seeds, references), chrf.statistics(seeds, references))

    def systems(translated: Translations) -> tuple[LengthOutputs, list[LengthOutputs]]:
        return outputs(fixed[0], translated), [outputs(name, translated) for name in attending]

    lengths = sentence_lengths(text.sources, length_unit(text.corpus.source_language))
    searched = {name: systems(translated) for name, translated in (searches or {}).items()}
    return judge(*systems(translations), searched, lengths, clusters, DEFAULT_BINS.ranges(), bleu)
