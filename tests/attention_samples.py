"""Generated attention maps of sentences in several scripts."""

from __future__ import annotations

import numpy as np

from seq2attn.attention.maps import Drops, Exploration, ExploredSystem, Kind, SentenceAttention
from seq2attn.attention.words import group_subwords

FRENCH = ["▁le", "▁cha", "t", "▁noir", "▁dor", "t", ",", "</s>"]
ENGLISH = ["▁the", "▁black", "▁c", "at", "▁is", "▁sleep", "ing", ".", "</s>"]
ARABIC = ["▁في", "▁البد", "ء", "▁خلق", "▁الله", "▁السماوات", "▁والأرض", ".", "</s>"]
CHINESE = ["▁起初", ",", "▁神", "创造", "天地", "。", "</s>"]

TRANSFORMER: dict[Kind, tuple[int, int]] = {"cross": (2, 3), "encoder": (2, 3), "decoder": (2, 3)}
RNN: dict[Kind, tuple[int, int]] = {"cross": (1, 1)}


def an_attention(source: list[str], written: list[str], sizes: dict[Kind, tuple[int, int]]) -> SentenceAttention:
    """Random weights for `sizes`, the layers and heads of each kind; the decoder's see no later token."""
    draw = np.random.default_rng(3)
    read = ["<s>", *written[:-1]]
    lengths = {
        "cross": (len(written), len(source)),
        "encoder": (len(source), len(source)),
        "decoder": (len(written), len(read)),
    }
    weights = {}
    for kind, (layers, heads) in sizes.items():
        raw = draw.gamma(0.3, size=(layers, heads, *lengths[kind])) + 1e-6
        raw = np.tril(raw) if kind == "decoder" else raw
        weights[kind] = raw / raw.sum(axis=-1, keepdims=True)
    return SentenceAttention(group_subwords(source), group_subwords(written), group_subwords(read), weights)


def some_drops() -> Drops:
    """Random drops of `ENGLISH` without each word of `FRENCH`, of two layers with three heads."""
    draw = np.random.default_rng(4)
    shape = (len(ENGLISH), 5)
    layers = tuple(draw.normal(size=shape) for _ in range(2))
    heads = tuple(draw.normal(size=(3, *shape)) for _ in range(2))
    return Drops(draw.normal(size=shape), layers, heads, draw.normal(size=shape))


def a_system(
    name: str, sizes: dict[Kind, tuple[int, int]], source: list[str] = FRENCH, written: list[str] = ENGLISH
) -> ExploredSystem:
    """A system with the attention weights of `an_attention`."""
    return ExploredSystem(name, f"runs/{name}", _text(written), False, an_attention(source, written, sizes))


def an_exploration(source: list[str] = FRENCH, written: list[str] = ENGLISH) -> Exploration:
    """An RNN without attention, one with, and a transformer, on one sentence."""
    named = {"RNN, fixed context": {}, "RNN, attention": RNN, "Transformer": TRANSFORMER}
    systems = tuple(a_system(name, sizes, source, written) for name, sizes in named.items())
    return Exploration(_text(source), systems)


def _text(pieces: list[str]) -> str:
    return "".join(pieces).removesuffix("</s>").replace("▁", " ").strip()
