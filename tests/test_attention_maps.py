from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seq2attn.attention.maps import Choice, SentenceAttention
from seq2attn.errors import RunError
from tests.attention_samples import ENGLISH, FRENCH, RNN, TRANSFORMER, an_attention, an_exploration, some_drops


@pytest.fixture
def transformer() -> SentenceAttention:
    return an_attention(FRENCH, ENGLISH, TRANSFORMER)


def test_a_choice_is_a_head_or_the_mean_of_all_heads(transformer: SentenceAttention) -> None:
    head = transformer.map(Choice("encoder", 2, 3), as_subwords=True)
    mean = transformer.map(Choice("encoder", 2), as_subwords=True)
    assert head is not None
    assert mean is not None
    np.testing.assert_array_equal(head.weights, transformer.weights["encoder"][1, 2])
    np.testing.assert_allclose(mean.weights, sum(transformer.weights["encoder"][1]) / 3)
    assert head.title == "encoder self-attention, layer 2, head 3"
    assert mean.title == "encoder self-attention, layer 2, mean of 3 heads"
    assert head.rows == head.columns == ("▁le", "▁cha", "t", "▁noir", "▁dor", "t", ",", "⟨end⟩")


def test_the_decoder_reads_one_token_behind_what_it_writes(transformer: SentenceAttention) -> None:
    decoder_map = transformer.map(Choice("decoder"), as_subwords=False)
    assert decoder_map is not None
    assert decoder_map.rows == ("the", "black", "cat", "is", "sleeping", ".", "⟨end⟩")
    assert decoder_map.columns == ("⟨start⟩", "the", "black", "cat", "is", "sleeping", ".")


@pytest.mark.parametrize(("layers", "usual"), [(1, 1), (2, 2), (3, 2), (6, 5)])
def test_the_default_layer_is_the_second_to_last_or_of_two_the_last(layers: int, usual: int) -> None:
    attention = an_attention(FRENCH, ENGLISH, {"cross": (layers, 2)})
    assert attention.resolve(Choice()) == Choice("cross", usual, None)


def test_an_rnn_has_one_map_and_none_of_another_kind() -> None:
    attention = an_attention(FRENCH, ENGLISH, RNN)
    assert attention.resolve(Choice()) == attention.resolve(Choice("cross", 1, 1)) == Choice("cross", 1, 1)
    assert attention.map(Choice("encoder"), as_subwords=False) is None
    assert [attention_map.title for attention_map in attention.maps(Choice(), as_subwords=False)] == ["cross-attention"]
    fixed = an_attention(FRENCH, ENGLISH, {})
    assert fixed.maps(Choice(), as_subwords=False) == []


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice("cross", 3), "--layer 3: the cross-attention has 2"),
        (
            Choice("decoder", 1, 4),
            "--head 4: layer 1 of the decoder self-attention has no such head; choose from 1, 2, 3",
        ),
    ],
)
def test_a_missing_layer_or_head_is_named(choice: Choice, message: str, transformer: SentenceAttention) -> None:
    with pytest.raises(RunError, match=message):
        transformer.map(choice, as_subwords=False)


def test_the_heads_of_a_pruned_model_keep_their_numbers() -> None:
    whole = an_attention(FRENCH, ENGLISH, TRANSFORMER)
    first, second = whole.weights["cross"]
    pruned = replace(whole, weights={"cross": (first[:1], second[:2])}, numbers={"cross": [[4], [2, 3]]})
    shown = [(found["layer"], found["head"], found["title"]) for found in pruned.as_json(Choice(), True)["maps"]]
    assert shown == [
        (1, 4, "cross-attention, layer 1, head 4"),
        (2, None, "cross-attention, layer 2, mean of 2 heads"),
        (2, 2, "cross-attention, layer 2, head 2"),
        (2, 3, "cross-attention, layer 2, head 3"),
    ]
    third = pruned.map(Choice("cross", 2, 3), as_subwords=True)
    assert third is not None
    np.testing.assert_array_equal(third.weights, second[1])
    with pytest.raises(RunError, match="--head 1: layer 2 of the cross-attention has no such head; choose from 2, 3"):
        pruned.map(Choice("cross", 2, 1), as_subwords=True)


def test_the_drop_of_a_word_is_the_sum_over_its_subwords() -> None:
    drops = some_drops()
    attention = replace(an_attention(FRENCH, ENGLISH, TRANSFORMER), drops=drops)
    found = attention.as_json(Choice(), as_subwords=False)
    # "cat" and "sleeping" have two subwords each.
    expected = [drops.left_out[list(rows)].sum(axis=0) for rows in ((0,), (1,), (2, 3), (4,), (5, 6), (7,), (8,))]
    np.testing.assert_allclose(found["drops"]["left_out"], expected, atol=1e-4)
    maps = {(shown["kind"], shown["layer"], shown["head"]): shown for shown in found["maps"]}
    np.testing.assert_allclose(maps["cross", 2, None]["drops"][0], drops.layers[1][0], atol=1e-4)
    np.testing.assert_allclose(maps["cross", 2, 3]["drops"][0], drops.heads[1][2][0], atol=1e-4)
    assert "drops" not in maps["encoder", 1, 1]


def test_the_system_without_the_layer_is_named() -> None:
    exploration = an_exploration()
    exploration.check(Choice("cross", 1))
    exploration.check(Choice("encoder", 2))
    with pytest.raises(
        RunError, match=r"--layer 2: the cross-attention has 1 layer\(s\), counted from 1 \(RNN, attention\)"
    ):
        exploration.check(Choice("cross", 2))


def test_json_has_every_map_with_the_tokens_along_it() -> None:
    found = an_exploration().as_json(Choice("decoder"), as_subwords=False)
    assert found["source"] == "le chat noir dort,"
    fixed, rnn, transformer = found["systems"]
    assert fixed["maps"] == []
    assert [system["shown"] for system in (fixed, rnn)] == [None, None]
    shown = transformer["maps"][transformer["shown"]]
    assert (shown["kind"], shown["layer"], shown["head"]) == ("decoder", 2, None)
    for attention_map in (*rnn["maps"], *transformer["maps"]):
        rows, columns = (transformer["tokens"][attention_map[axis]] for axis in ("rows", "columns"))
        assert np.shape(attention_map["weights"]) == (len(rows), len(columns))
        np.testing.assert_allclose(np.sum(attention_map["weights"], axis=1), 1.0, atol=1e-3)
