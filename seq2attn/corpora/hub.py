"""Parallel corpora of the Hugging Face hub with a column `translation: {xx, yy}`."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2attn.data.store import SPLITS, CatalogEntry, RawCorpus, Row
from seq2attn.errors import FetchError

CONVERTED = "refs/convert/parquet"
"""The branch with the hub's own conversion of a data set to Parquet."""


@dataclass(frozen=True)
class HubCorpus:
    """A data set of the hub with a configuration for each pair of languages."""

    repository: str
    title: str
    pairs: tuple[str, ...]
    """`xx-yy`, as the hub orders them; each is offered in both directions."""
    licence: str
    citation: str
    size: str
    configuration: str = "{pair}"
    revision: str | None = None
    directed: bool = False
    """Whether the hub has both `xx-yy` and `yy-xx`."""


def _all_pairs(languages: str, without: str = "") -> tuple[str, ...]:
    pairs = map("-".join, itertools.combinations(sorted(languages.split()), 2))
    return tuple(pair for pair in pairs if pair not in without.split())


def _with_english(languages: str) -> tuple[str, ...]:
    return tuple("-".join(sorted((language, "en"))) for language in languages.split())


_OPUS = "Tiedemann 2012, Parallel Data, Tools and Interfaces in OPUS"
_OPUS_100_LANGUAGES = (
    "af am an ar as az be bg bn br bs ca cs cy da de dz el eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id ig "
    "is it ja ka kk km kn ko ku ky li lt lv mg mk ml mn mr ms mt my nb ne nl nn no oc or pa pl ps pt ro ru rw se sh si "
    "sk sl sq sr sv ta te tg th tk tr tt ug uk ur uz vi wa xh yi yo zh zu"
)
_OPUS_BOOKS_PAIRS = (
    "ca-de ca-en ca-hu ca-nl de-en de-eo de-es de-fr de-hu de-it de-nl de-pt de-ru el-en el-es el-fr el-hu en-eo en-es "
    "en-fi en-fr en-hu en-it en-nl en-no en-pl en-pt en-ru en-sv eo-es eo-fr eo-hu eo-it eo-pt es-fi es-fr es-hu es-it "
    "es-nl es-no es-pt es-ru fi-fr fi-hu fi-no fi-pl fr-hu fr-it fr-nl fr-no fr-pl fr-pt fr-ru fr-sv hu-it hu-nl hu-no "
    "hu-pl hu-pt hu-ru it-nl it-pt it-ru it-sv"
)

HUB_CORPORA = {
    "news_commentary": HubCorpus(
        "Helsinki-NLP/news_commentary",
        "News Commentary v11, opinion pieces",
        _all_pairs("ar cs de en es fr it ja nl pt ru zh", without="it-ja ja-nl ja-pt"),
        "not stated by its publisher",
        _OPUS,
        "up to 240,000 pairs",
    ),
    "europarl": HubCorpus(
        "Helsinki-NLP/europarl",
        "Europarl v7, proceedings of the European Parliament",
        _all_pairs("bg cs da de el en es et fi fr hu it lt lv nl pl pt ro sk sl sv"),
        "free to use, says the European Parliament",
        "Koehn 2005, Europarl: A Parallel Corpus for Statistical Machine Translation",
        "0.3 to 2 million pairs",
    ),
    "opus_books": HubCorpus(
        "Helsinki-NLP/opus_books",
        "Books whose copyright has ended",
        tuple(_OPUS_BOOKS_PAIRS.split()),
        "personal, educational and research use",
        _OPUS,
        "1,000 to 137,000 pairs",
    ),
    "opus-100": HubCorpus(
        "Helsinki-NLP/opus-100",
        "OPUS-100, sampled from many sources",
        _with_english(_OPUS_100_LANGUAGES),
        "not stated by its publisher",
        "Zhang et al. 2020, Improving Massively Multilingual Neural Machine Translation and Zero-Shot Translation",
        "up to 1 million pairs",
    ),
    "wmt14": HubCorpus(
        "wmt/wmt14",
        "Shared task on news, 2014",
        ("cs-en", "de-en", "fr-en", "hi-en", "ru-en"),
        "research use",
        "Bojar et al. 2014, Findings of the 2014 Workshop on Statistical Machine Translation",
        "up to 41 million pairs",
    ),
    "wmt16": HubCorpus(
        "wmt/wmt16",
        "Shared task on news, 2016",
        ("cs-en", "de-en", "fi-en", "ro-en", "ru-en", "tr-en"),
        "research use",
        "Bojar et al. 2016, Findings of the 2016 Conference on Machine Translation",
        "0.2 to 52 million pairs",
    ),
    "iwslt2017": HubCorpus(
        "IWSLT/iwslt2017",
        "TED talks",
        (*_with_english("ar de fr ja ko zh"), *_all_pairs("en it nl ro")),
        "CC BY-NC-ND 4.0",
        "Cettolo et al. 2017, Overview of the IWSLT 2017 Evaluation Campaign",
        "up to 250,000 pairs",
        configuration="iwslt2017-{pair}",
        # The data set is a script, which `datasets` no longer runs; the hub's conversion is plain Parquet.
        revision=CONVERTED,
        directed=True,
    ),
}


_PROBE_SECONDS = 10
_OTHERWISE = "give a local copy with --from, or train on files of your own (data.train, data.validation, data.test)"
_ROWS_AT_ONCE = 1000
# If a corpus has no validation or test, this many training pairs are held out for it, but at most a twentieth.
_HELD_OUT_PAIRS = {"validation": 2000, "test": 3000}
_LARGEST_HELD_OUT_SHARE = 0.05


def entries(corpus_name: str) -> Iterator[CatalogEntry]:
    """Both directions of every pair of the hub corpus `corpus_name`: `wmt16-de-en`, `wmt16-en-de`, …"""
    corpus = HUB_CORPORA[corpus_name]
    for pair in corpus.pairs:
        languages = pair.split("-")
        for source, target in (languages, languages[::-1]):
            yield CatalogEntry(
                name=f"{corpus_name}-{source}-{target}",
                title=corpus.title,
                source_language=source,
                target_language=target,
                origin=f"{corpus.repository}, Hugging Face hub",
                licence=corpus.licence,
                citation=corpus.citation,
                size=corpus.size,
                tried=False,
            )


def load(entry: CatalogEntry, local: Path | None, report: Callable[[str], None]) -> RawCorpus:
    """The pairs of `entry`, from the hub or from `local`, a copy of its repository.

    Raises: FetchError if the hub does not answer, or the data set has an unexpected layout.
    """
    source, target = entry.source_language, entry.target_language
    corpus = HUB_CORPORA[entry.name.removesuffix(f"-{source}-{target}")]
    given = f"{source}-{target}"
    pair = given if corpus.directed or given in corpus.pairs else f"{target}-{source}"
    configuration = corpus.configuration.format(pair=pair)
    tables = load_tables(corpus.repository, configuration, corpus.revision, local, report)

    def rows_of(table: Any) -> Iterator[Row]:
        for batch in table.iter(batch_size=_ROWS_AT_ONCE):
            for texts in batch["translation"]:
                yield texts[source] or "", texts[target] or "", None

    _check_columns(tables, source, target, corpus.repository)
    facts = {"repository": corpus.repository, "configuration": configuration, "revision": corpus.revision}
    return RawCorpus(_complete_splits(tables, rows_of), facts)


def load_tables(
    repository: str, configuration: str | None, revision: str | None, local: Path | None, report: Callable[[str], None]
) -> Any:
    """The memory-mapped tables of a hub repository by split (a `datasets.DatasetDict`).

    Raises: FetchError with the reason on one line.
    """
    import datasets

    offline = _offline_variable() if local is None else None
    if local is None and offline is None:
        _probe(repository)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    report(f"Loading {configuration or 'all'} of {local or repository} …")
    # A converted data set has a folder for each configuration, but no card that lists them.
    chosen = {"data_dir" if revision == CONVERTED else "name": configuration}
    try:
        return datasets.load_dataset(str(local or repository), revision=revision if not local else None, **chosen)
    except Exception as error:  # any of five libraries may raise its own errors
        if offline is not None:
            raise FetchError(
                f"{repository}: {offline} is set and {_cached()}; unset it to use the network, or {_OTHERWISE}"
            ) from error
        raise FetchError(f"{local or repository}: {_one_line(error)}; {_OTHERWISE}") from error


def _probe(repository: str) -> None:
    """Ask the hub once with a short timeout, because its client would retry for minutes.

    Raises: FetchError if the hub does not answer or lacks the repository.
    """
    import huggingface_hub

    try:
        huggingface_hub.HfApi().dataset_info(repository, timeout=_PROBE_SECONDS)
    except Exception as error:  # the client raises its own errors and those of its HTTP library
        cached = _cached()
        use_cache = "set HF_HUB_OFFLINE=1 to use the cached copy, " if repository in cached else ""
        raise FetchError(
            f"{repository}: cannot be fetched from the hub ({_one_line(error)}) and {cached}; {use_cache}{_OTHERWISE}"
        ) from error


def _offline_variable() -> str | None:
    """The environment variable that keeps the hub's client off the network, if one is set."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    return next((name for name in names if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")), None)


def _cached() -> str:
    """A clause that lists the data sets in the cache."""
    import datasets

    folder = Path(datasets.config.HF_DATASETS_CACHE)
    names = sorted(path.name.replace("___", "/") for path in folder.glob("*") if path.is_dir())
    return f"the cache {folder} has {', '.join(names) or 'no data set'}"


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _check_columns(tables: Any, source: str, target: str, repository: str) -> None:
    if "train" not in tables:
        raise FetchError(f"{repository}: has the splits {', '.join(tables)}; expected train")
    for split, table in tables.items():
        if "translation" not in table.column_names:
            found = ", ".join(table.column_names)
            raise FetchError(f"{repository}: {split} has the columns {found}; expected translation")
        if len(table) and not {source, target} <= table[0]["translation"].keys():
            found = ", ".join(table[0]["translation"])
            raise FetchError(f"{repository}: {split} has the languages {found}; expected {source} and {target}")


def _complete_splits(tables: Any, rows_of: Callable[[Any], Iterator[Row]]) -> dict[str, Iterable[Row]]:
    """The splits of a corpus; missing ones are held out from its training split."""
    missing = [split for split in ("validation", "test") if split not in tables]
    n_train = max(1, len(tables["train"]))
    shares = {split: min(_HELD_OUT_PAIRS[split] / n_train, _LARGEST_HELD_OUT_SHARE) for split in missing}

    def part(split: str) -> Iterator[Row]:
        return (row for row in rows_of(tables["train"]) if _split_of(row[0], shares) == split)

    return {split: part(split) if split in ("train", *missing) else rows_of(tables[split]) for split in SPLITS}


def _split_of(source: str, shares: dict[str, float]) -> str:
    """The split of a training pair, drawn from a hash of its source: the same in every run and for every repetition."""
    place = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8]) / 2**64
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return "train"
