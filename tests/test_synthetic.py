from collections import Counter, defaultdict

import pytest

from seq2attn.corpora import synthetic
from seq2attn.data.store import CatalogEntry, RawCorpus, Row
from seq2attn.errors import DataError

ENTRY: CatalogEntry = next(synthetic.entries())


@pytest.fixture(scope="module")
def corpus() -> RawCorpus:
    return synthetic.load(ENTRY, None, lambda _: None)


def rows_of(corpus: RawCorpus) -> list[Row]:
    return [row for rows in corpus.splits.values() for row in rows]


def words(text: str) -> list[str]:
    return text.replace(",", "").replace(".", "").split()


def test_it_is_reproducible(corpus: RawCorpus) -> None:
    assert synthetic.load(ENTRY, None, lambda _: None).splits == corpus.splits


def test_the_first_sentence_is_that_of_the_published_results(corpus: RawCorpus) -> None:
    assert next(iter(corpus.splits["test"]))[0].startswith("noruto lopa kato nase melalu pipi nase roku, kune Rileta")


def test_no_sentence_is_repeated(corpus: RawCorpus) -> None:
    sources = [source for source, _, _ in rows_of(corpus)]
    assert len(set(sources)) == len(sources) == 4800


def test_held_out_lengths_fill_every_bucket_and_training_is_mostly_short(corpus: RawCorpus) -> None:
    buckets = Counter(min(6, len(source.split()) // 10) for source, _, _ in corpus.splits["test"])
    assert min(buckets[bucket] for bucket in range(7)) >= 40
    lengths = [len(source.split()) for source, _, _ in corpus.splits["train"]]
    assert sum(length <= 15 for length in lengths) / len(lengths) > 0.7
    assert min(lengths) == 3
    assert 65 <= max(lengths) <= 75


def test_both_sides_have_as_many_words_and_the_same_punctuation(corpus: RawCorpus) -> None:
    for source, target, _ in rows_of(corpus):
        assert len(source.split()) == len(target.split())
        assert source.count(",") == target.count(",")
        assert source[-1] == target[-1] == "."


def test_every_word_is_in_training(corpus: RawCorpus) -> None:
    trained = {word for source, _, _ in corpus.splits["train"] for word in words(source)}
    assert len(trained) == 117
    assert {word for source, _, _ in rows_of(corpus) for word in words(source)} == trained


def test_words_except_articles_translate_one_to_one(corpus: RawCorpus) -> None:
    together: dict[str, Counter[str]] = defaultdict(Counter)
    for source, target, _ in rows_of(corpus):
        for word in set(words(source)):
            together[word].update(set(words(target)))
    seen = Counter(word for source, _, _ in rows_of(corpus) for word in set(words(source)))
    certain = [word for word in together if together[word].most_common(1)[0][1] == seen[word]]
    # Three articles have two forms each; every other word always has the same translation.
    assert len(together) - len(certain) == 3


def test_the_order_of_words_differs(corpus: RawCorpus) -> None:
    """With a one-to-one vocabulary, equal order would show as the same translation at the same position."""
    at_place: dict[str, Counter[str]] = defaultdict(Counter)
    for source, target, _ in corpus.splits["train"]:
        for word, other in zip(words(source), words(target), strict=True):
            at_place[word][other] += 1
    moved = [word for word, others in at_place.items() if others.most_common(1)[0][1] < 0.9 * others.total()]
    assert len(moved) > 60


def test_a_local_file_is_refused(tmp_path: object) -> None:
    with pytest.raises(DataError, match="without --from"):
        synthetic.load(ENTRY, tmp_path, lambda _: None)  # type: ignore[arg-type]


def linked(source: str, target: str) -> list[tuple[str, str]]:
    """The linked words, in the order of the target."""
    places = sorted(synthetic.word_links(source, target), key=lambda link: link[1])
    return [(synthetic.split_words(source)[one], synthetic.split_words(target)[other]) for one, other in places]


def test_the_true_links_of_hand_aligned_sentences(corpus: RawCorpus) -> None:
    pairs = {source: target for source, target, _ in rows_of(corpus)}
    source = "noruto lipa memuta kupota Luri."
    assert pairs[source] == "zody jaga dibygu bado Gobyvo."
    # The adjective (lipa, dibygu) follows its noun (memuta, jaga); all else keeps its order.
    assert synthetic.word_links(source, pairs[source]) == {(0, 0), (1, 2), (2, 1), (3, 3), (4, 4), (5, 5)}


def test_every_word_of_every_pair_has_one_link_to_its_translation(corpus: RawCorpus) -> None:
    translations: dict[str, set[str]] = defaultdict(set)
    moved = 0
    for source, target, _ in rows_of(corpus):
        links = synthetic.word_links(source, target)
        n_words = len(synthetic.split_words(source))
        assert {one for one, _ in links} == {other for _, other in links} == set(range(n_words))
        moved += any(one != other for one, other in links)
        for word, other in linked(source, target):
            translations[word].add(other)
    # Only the three articles have two translations; many sentences change the order of words.
    assert sorted(map(len, translations.values())) == [1] * (len(translations) - 3) + [2] * 3
    assert moved > 2000


def test_a_pair_that_is_no_translation_has_no_links(corpus: RawCorpus) -> None:
    (first, target, _), (other, _, _) = corpus.splits["test"][:2]
    with pytest.raises(DataError, match="not a pair of the corpus synthetic"):
        synthetic.word_links(other, target)
    with pytest.raises(DataError, match="not a pair of the corpus synthetic"):
        synthetic.word_links(first, f"{target} {target}")
