"""`model.self_attention`: a window and linear attention in the encoder, their settings, and what refuses them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from seq2attn.config.load import parse_config
from seq2attn.config.models import KeptHeads, TransformerConfig
from seq2attn.data.batch import Batch
from seq2attn.errors import ConfigError
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.efficient import LinearSelfAttention, WindowedSelfAttention
from seq2attn.models.seq2seq import AttentionMaps, Seq2Seq
from seq2attn.models.transformer import TransformerSeq2Seq
from tests.conftest import VOCAB_SIZE, make_batch, make_model

LENGTHS = [9, 3, 6]
BASE = TransformerConfig(d_model=12, n_heads=3, n_layers=2)
HEADS = KeptHeads(encoder=[[1, 3], [2]], decoder=[[3], [1, 2, 3]], cross=[[2], [1, 3]])


def variant(**settings: object) -> TransformerConfig:
    return TransformerConfig.model_validate(BASE.model_dump() | settings)


def with_weights_of(model: Seq2Seq, config: TransformerConfig) -> Seq2Seq:
    """A model of `config` with the same weights; it has the same parameters."""
    other = make_model(config)
    other.load_state_dict(model.state_dict())
    return other


def states_of(model: Seq2Seq, batch: Batch) -> list[torch.Tensor]:
    """The encoder's output for the real tokens of each sentence."""
    states = model.encode(batch.source_ids, batch.source_valid).states
    assert states is not None
    return [row[valid] for row, valid in zip(states, batch.source_valid, strict=True)]


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "alibi", "none"])
def test_a_window_as_wide_as_the_text_is_full_attention(positions: str) -> None:
    batch = make_batch(LENGTHS, [2, 2, 2])
    full = make_model(variant(positions=positions))
    wide = with_weights_of(full, variant(positions=positions, self_attention="window", window=8))
    torch.testing.assert_close(states_of(wide, batch), states_of(full, batch))
    narrow = with_weights_of(full, variant(positions=positions, self_attention="window", window=2))
    found, expected = states_of(narrow, batch), states_of(full, batch)
    torch.testing.assert_close(found[1], expected[1])  # all of its three tokens are near one another
    assert not torch.allclose(found[0], expected[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"self_attention": "window", "window": 1},
        {"self_attention": "window", "window": 1, "positions": "alibi"},
        {"self_attention": "window", "window": 2, "positions": "rotary", "kept_heads": HEADS.model_dump()},
        {"self_attention": "linear"},
        {"self_attention": "linear", "kept_heads": HEADS.model_dump()},
    ],
    ids=str,
)
def test_padding_changes_nothing_and_maps_are_those_of_the_outputs(settings: dict[str, object]) -> None:
    model = make_model(variant(**settings))
    batch = make_batch(LENGTHS, [4, 2, 3])
    for row, length in enumerate(LENGTHS):
        alone = model.encode(batch.source_ids[row : row + 1, :length], batch.source_valid[row : row + 1, :length])
        assert alone.states is not None
        torch.testing.assert_close(states_of(model, batch)[row], alone.states[0])
    maps = AttentionMaps()
    outputs = model(batch, maps)
    torch.testing.assert_close(outputs, model(batch))
    assert outputs.isfinite().all()
    window = settings.get("window", 99)
    assert isinstance(window, int)
    for weights in maps.encoder:
        for row, length in enumerate(LENGTHS):
            seen = weights[row, :, :length]
            torch.testing.assert_close(seen.sum(dim=-1), torch.ones_like(seen[..., 0]))
            assert seen[..., length:].abs().sum() == 0.0
            assert seen.triu(window + 1).abs().sum() == seen.tril(-window - 1).abs().sum() == 0.0
    outputs.square().sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_token_is_seen_from_within_the_windows_of_all_layers_only() -> None:
    model = make_model(variant(self_attention="window", window=2))
    batch = make_batch([9], [2])
    changed = batch.source_ids.clone()
    changed[0, 0] = 4 + (changed[0, 0] - 3) % (VOCAB_SIZE - 4)
    (before,), (after,) = states_of(model, batch), states_of(model, replace(batch, source_ids=changed))
    assert not torch.allclose(after[4], before[4])  # two layers of a window of two
    torch.testing.assert_close(after[5:], before[5:])


def test_only_the_encoder_changes_and_the_parameters_stay_the_same() -> None:
    names = {name: tensor.shape for name, tensor in make_model(BASE).state_dict().items()}
    for kind, expected in (("window", WindowedSelfAttention), ("linear", LinearSelfAttention)):
        model = make_model(variant(self_attention=kind))
        assert isinstance(model, TransformerSeq2Seq)
        assert {name: tensor.shape for name, tensor in model.state_dict().items()} == names
        attentions = {name: type(part) for name, part in model.named_modules() if isinstance(part, MultiHeadAttention)}
        assert {kind for name, kind in attentions.items() if name.startswith("encoder")} == {expected}
        assert {kind for name, kind in attentions.items() if name.startswith("decoder")} == {MultiHeadAttention}


def test_defaults_are_saved_as_in_earlier_versions() -> None:
    assert not {"self_attention", "window"} & BASE.model_dump().keys()
    assert not {"self_attention", "window"} & variant(self_attention="full", window=3).model_dump().keys()
    assert variant(self_attention="linear").model_dump() == BASE.model_dump() | {"self_attention": "linear"}
    windowed = variant(self_attention="window", window=3)
    assert windowed.model_dump() == BASE.model_dump() | {"self_attention": "window", "window": 3}
    assert TransformerConfig.model_validate(windowed.model_dump()) == windowed


@pytest.mark.parametrize("positions", ["rotary", "alibi"])
def test_linear_attention_refuses_positions_in_scores(positions: str) -> None:
    model = {"kind": "transformer", "self_attention": "linear", "positions": positions}
    with pytest.raises(ConfigError, match=f"has no scores of pairs, which positions: {positions} would change"):
        parse_config({"data": {"corpus": "synthetic"}, "model": model, "train": {"max_steps": 1}}, "a test")


def test_a_window_of_nothing_is_refused() -> None:
    model = {"kind": "transformer", "self_attention": "window", "window": 0}
    with pytest.raises(ConfigError, match=r"model\.window"):
        parse_config({"data": {"corpus": "synthetic"}, "model": model, "train": {"max_steps": 1}}, "a test")
