"""The hub's parallel corpora that the catalogue offers, by the name that it gives them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

CONVERTED = "refs/convert/parquet"
"""The branch on which the hub keeps its own conversion of a data set to Parquet."""


@dataclass(frozen=True)
class HubCorpus:
    """One data set of the hub with a configuration for each pair of languages."""

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
        # The set itself is a script, which `datasets` no longer runs; the hub's own conversion is not.
        revision=CONVERTED,
        directed=True,
    ),
}
