from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from hypothesis import example, given
from hypothesis import strategies as st

from seq2attn.config.schema import SubwordsConfig
from seq2attn.data.cleaning import normalise
from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID, UNK_ID, Subwords
from seq2attn.errors import ConfigError, DataError

SOURCES = ["la maison est vieille", "le chat noir dort dans la maison", "où est le chat ?", "<s> et <0x41> et <unk>"]
TARGETS = ["the house is old", "the black cat sleeps in the house", "where is the cat?", "<s> and <0x41> and <unk>"]
CONFIGS = [
    SubwordsConfig(vocab_size=330, kind="bpe", joint=True),
    SubwordsConfig(vocab_size=330, kind="bpe", joint=False),
    SubwordsConfig(vocab_size=295, kind="unigram", joint=True),
]
HARD_TEXTS = [
    "<s>",
    "</s> <pad>",
    "<unk><s>",
    "<0x41>",
    "日本語 ไทย العربية 👩‍👩‍👧",
    "▁▅⁇",
    "\ufffd\ufeffa\u200b",
    " a\n\0b ",
]


def pairs(times: int = 20) -> Dataset:
    return Dataset.from_dict({"source": SOURCES * times, "target": TARGETS * times})


@pytest.fixture(scope="module")
def joint() -> Subwords:
    return Subwords.train(pairs(), CONFIGS[0])


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_training_is_repeatable_silent_and_of_the_requested_size(
    config: SubwordsConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = Subwords.train(pairs(), config), Subwords.train(pairs(), config)
    assert first.digest == second.digest
    assert first.source_size == first.target_size == config.vocab_size
    assert first.joint == config.joint
    assert capfd.readouterr() == ("", "")


def test_eos_ends_sources_but_not_targets(joint: Subwords) -> None:
    (source,), (target,) = joint.encode_source(["le chat"]), joint.encode_target(["le chat"])
    assert source == [*target, EOS_ID]
    assert not {PAD_ID, UNK_ID, BOS_ID, EOS_ID} & set(target)
    assert joint.encode_target([""]) == [[]]
    assert joint.encode_source([]) == joint.encode_target([]) == joint.decode_target([]) == []


def test_special_ids_except_unk_decode_to_nothing(joint: Subwords) -> None:
    (ids,) = joint.encode_target(["the cat"])
    assert joint.decode_target([[BOS_ID, *ids, EOS_ID, PAD_ID], [], [EOS_ID]]) == ["the cat", "", ""]
    assert joint.pieces([PAD_ID, UNK_ID, BOS_ID, EOS_ID], "source") == ["<pad>", "<unk>", "<s>", "</s>"]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("text", HARD_TEXTS)
def test_hard_texts_survive_encoding_and_decoding(config: SubwordsConfig, text: str) -> None:
    subwords = Subwords.train(pairs(), config)
    ids = subwords.encode_target([text])
    assert subwords.decode_target(ids) == [normalise(text)]
    assert min(ids[0]) > EOS_ID


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("</s>")
def test_any_text_decodes_to_its_normalised_form(joint: Subwords, text: str) -> None:
    ids = joint.encode_target([text])
    assert joint.decode_target(ids) == [normalise(text)]
    assert all(id_ > EOS_ID for id_ in ids[0])


@given(st.lists(st.integers(0, CONFIGS[0].vocab_size - 1), max_size=20))
def test_any_ids_decode_to_one_line(joint: Subwords, ids: list[int]) -> None:
    (text,) = joint.decode_target([ids])
    assert text == normalise(text)


def test_without_byte_fallback_a_new_character_is_unknown() -> None:
    subwords = Subwords.train(pairs(), SubwordsConfig(vocab_size=60, byte_fallback=False))
    assert UNK_ID in subwords.encode_target(["日"])[0]


def test_separate_vocabularies_know_only_their_own_side() -> None:
    subwords = Subwords.train(pairs(), CONFIGS[1])
    assert "▁maison" in subwords.pieces(range(subwords.source_size), "source")
    assert "▁maison" not in subwords.pieces(range(subwords.target_size), "target")
    assert "▁house" in subwords.pieces(subwords.encode_target(["house"])[0], "target")


@pytest.mark.parametrize("config", CONFIGS[:2], ids=str)
def test_saved_subwords_load_to_the_same(config: SubwordsConfig, tmp_path: Path) -> None:
    subwords = Subwords.train(pairs(), config)
    subwords.save(tmp_path)
    names = ["subwords.model"] if config.joint else ["subwords.source.model", "subwords.target.model"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    loaded = Subwords.load(tmp_path)
    assert loaded.digest == subwords.digest
    assert loaded.joint == subwords.joint
    assert loaded.encode_source(SOURCES) == subwords.encode_source(SOURCES)


@pytest.mark.parametrize("damage", [slice(0, 0), slice(0, 200), slice(1, None)])
def test_a_damaged_or_missing_model(joint: Subwords, tmp_path: Path, damage: slice) -> None:
    with pytest.raises(DataError, match=r"has no subwords\.model"):
        Subwords.load(tmp_path)
    joint.save(tmp_path)
    path = tmp_path / "subwords.model"
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(DataError, match=r"subwords\.model is not a valid SentencePiece model"):
        Subwords.load(tmp_path)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_vocabulary_that_the_text_does_not_allow_names_the_limit(kind: str) -> None:
    def train(vocab_size: int) -> Subwords:
        return Subwords.train(pairs(), SubwordsConfig(vocab_size=vocab_size, kind=kind))

    with pytest.raises(ConfigError, match="50000 is more than the source and target text allows; use at most") as most:
        train(50_000)
    limit = int(str(most.value).split(" at most ")[1].split(",")[0])
    assert train(limit).source_size == limit
    with pytest.raises(ConfigError, match=r"100 is too few for the characters .* at least \d+ \(256 of them") as least:
        train(100)
    limit = int(str(least.value).split(" at least ")[1].split()[0])
    assert train(limit).source_size == limit
    with pytest.raises(ConfigError, match="too few"):
        train(limit - 1)


def test_no_text_is_an_error() -> None:
    with pytest.raises(DataError, match="no training pairs"):
        Subwords.train(pairs(0), CONFIGS[0])
