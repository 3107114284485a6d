"""Subwords in a browser are those of SentencePiece, in six scripts and with text that is none."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from seq2attn.config.schema import SubwordsConfig
from seq2attn.data.cleaning import normalise
from seq2attn.data.subwords import Subwords
from seq2attn.play.model import vocabulary
from tests.engine import PLACES, needs_some_engine, run_engine

pytestmark = needs_some_engine

N_SENTENCES = 5_000
ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyzäöüßéèêçñåøœAÉÖ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяЁё",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώςΐ",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويةىأإآء\u064b\u0651",
    "cjk": "的一是不了人我在有他这中大来上国日本語漢字カタひらが",
    "devanagari": "कखगघचछजझटठडढणतथदधनपफबभमयरलवशसहािीुूेैोौंः्",
}
# Combining marks that compose, letters that decompose, ligatures, full width, signs of SentencePiece.
ODD = [
    "e\u0301",
    "A\u030a",
    "\u0958",
    "ﬁ",
    "ＡＢ",
    "Å",
    "가",
    "\u1100\u1161",
    "▁",
    "▁a▁",
    "<s>",
    "</s>",
    "<unk>",
    "<0x41>",
    "⁇",
]
ODD += [
    "👩‍👩‍👧",
    "🇫🇷",
    "❤️",
    "🙂",
    "\U00010348",
    "\U0001d11e",
    "\ufffd",
    "\ufeff",
    "\u200b",
    "\u200d",
    "\u00ad",
    "ไทย",
    "𠮷",
]
SPACES = [
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u2003",
    "\u3000",
    "\u2028",
    "\x1c",
    "\x85",
    "\0",
    "\u1680",
    "\u200b",
]
CONFIGS = [
    SubwordsConfig(vocab_size=900, kind="bpe", joint=True),
    SubwordsConfig(vocab_size=900, kind="unigram", joint=True),
    SubwordsConfig(vocab_size=600, kind="bpe", joint=True, byte_fallback=False),
    SubwordsConfig(vocab_size=600, kind="unigram", joint=True, byte_fallback=False),
]


def lexicon(draw: random.Random) -> list[str]:
    return [
        "".join(draw.choices(letters, k=draw.randint(1, 7))) for letters in ALPHABETS.values() for _ in range(60)
    ] + [",", ".", "!", "?", "«", "»", "。", "،", "।", "1984", "3,5", "it's", "aaaa", "ааа"]


def sentences(count: int, odd: bool) -> list[str]:
    draw = random.Random(odd)
    words, found = lexicon(random.Random(8)), []
    letters = "".join(ALPHABETS.values())
    for _ in range(count):
        text = ""
        for _ in range(draw.randint(0 if odd else 1, 12)):
            kind = draw.random() if odd else 1.0
            # Odd words, words that training has not seen, and known ones.
            word = (
                draw.choice(ODD)
                if kind < 0.2
                else "".join(draw.choices(letters, k=3))
                if kind < 0.4
                else draw.choice(words)
            )
            text += word + (draw.choice(SPACES) if odd and draw.random() < 0.3 else " " * (draw.random() < 0.9))
        found.append(text)
    return found


@pytest.fixture(scope="module")
def trained() -> list[Subwords]:
    lines = sentences(1_500, odd=False)
    return [Subwords.train(Dataset.from_dict({"source": lines, "target": lines}), config) for config in CONFIGS]


PROGRAM = """
return data.vocabularies.map((vocabulary, index) => {
  const subwords = new seq2attn.Subwords(vocabulary);
  return {
    encoded: data.texts.map((text) => subwords.encode(text)),
    decoded: data.ids[index].map((ids) => subwords.decode(ids)),
    normalised: data.texts.map((text) => seq2attn.normalise(text)),
  };
});
"""


@pytest.mark.parametrize("place", PLACES)
def test_text_and_ids_are_those_of_sentencepiece(place: str, trained: list[Subwords], tmp_path: Path) -> None:
    texts = sentences(N_SENTENCES, odd=True)
    ids = [random_ids(subwords) for subwords in trained]
    data: dict[str, Any] = {
        "texts": texts,
        "ids": ids,
        "vocabularies": [
            vocabulary(subwords, "source", config.kind) for subwords, config in zip(trained, CONFIGS, strict=True)
        ],
    }
    found = run_engine(place, PROGRAM, data, tmp_path)
    for subwords, of_model, result in zip(trained, ids, found, strict=True):
        assert result["normalised"] == [normalise(text) for text in texts]
        expected = subwords.encode_target(texts)
        assert [texts[row] for row, encoded in enumerate(result["encoded"]) if encoded != expected[row]] == []
        assert result["decoded"] == subwords.decode_target(of_model)


def random_ids(subwords: Subwords) -> list[list[int]]:
    """Lists of ids; bytes in runs, some of them valid UTF-8."""
    draw = random.Random(9)
    first = subwords.first_byte("source")
    valid = [] if first is None else [[first + byte for byte in text.encode()] for text in ODD]
    return [
        [
            token
            for _ in range(draw.randint(0, 8))
            for token in (
                draw.choice(valid) if valid and draw.random() < 0.4 else [draw.randrange(subwords.source_size)]
            )
        ]
        for _ in range(1_000)
    ]
