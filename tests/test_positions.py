"""Rotary positions and ALiBi against the equations of their papers, in float64."""

from __future__ import annotations

import cmath
import itertools
import math
from operator import mul
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seq2attn.config.load import dump_config, load_config, parse_config
from seq2attn.config.models import TransformerConfig
from seq2attn.data.batch import collate
from seq2attn.errors import ConfigError
from seq2attn.models.attention import MultiHeadAttention, Scope
from seq2attn.models.positions import AlibiPositions, RelativePositions, RotaryPositions
from seq2attn.models.transformer import TransformerSeq2Seq
from seq2attn.runs.folder import RunFolder
from seq2attn.training.train import train
from tests.command_line import call, write
from tests.conftest import make_batch, make_model
from tests.training_samples import make_config, write_copy_task

HEADS, D_HEAD, LENGTH = 4, 6, 7
RELATIVE = ("rotary", "alibi")


def vectors(seed: int) -> Tensor:
    """(1, heads, length, d_head), drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, HEADS, LENGTH, D_HEAD, dtype=torch.float64, generator=generator)


def like(length: int = LENGTH) -> Tensor:
    return torch.zeros(1, length, HEADS * D_HEAD, dtype=torch.float64)


def rotated(vector: list[float], position: int) -> list[complex]:
    """x_m e^{imθ}, pair by pair, as a complex number (Su et al. 2021, eq. 12 and 14)."""
    pairs = zip(vector[0::2], vector[1::2], strict=True)
    return [
        complex(x, y) * cmath.exp(1j * position / 10_000 ** (2 * index / D_HEAD)) for index, (x, y) in enumerate(pairs)
    ]


@pytest.mark.parametrize("first", [0, 5, 1000])
def test_rotation_is_its_equation(first: int) -> None:
    queries = vectors(0)
    found = RotaryPositions(D_HEAD).relative(like(), first).rotate(queries)
    for head, position in itertools.product(range(HEADS), range(LENGTH)):
        expected = rotated(queries[0, head, position].tolist(), first + position)
        got = found[0, head, position].tolist()
        assert got[0::2] == pytest.approx([pair.real for pair in expected], abs=1e-12)
        assert got[1::2] == pytest.approx([pair.imag for pair in expected], abs=1e-12)


def test_a_rotated_product_is_that_of_the_distance() -> None:
    """<f(q, m), f(k, n)> = Re Σ q k* e^{i(m−n)θ} (Su et al. 2021, eq. 12)."""
    queries, keys = vectors(0), vectors(1)
    relative = RotaryPositions(D_HEAD).relative(like(), 3)
    found = relative.rotate(queries) @ relative.rotate(keys).transpose(2, 3)
    for m, n in itertools.product(range(LENGTH), repeat=2):
        by_distance = rotated(queries[0, 0, m].tolist(), m - n)
        still = rotated(keys[0, 0, n].tolist(), 0)
        expected = sum((q * k.conjugate()).real for q, k in zip(by_distance, still, strict=True))
        assert found[0, 0, m, n].item() == pytest.approx(expected, abs=1e-12)


def test_the_slopes_of_alibi_are_those_of_the_paper() -> None:
    """For 8 heads 1/2, 1/4, … 1/256; for 16 heads the same range with half the step (Press et al. 2022, section 3)."""
    bias = AlibiPositions(8).relative(like(2)).bias
    assert bias is not None
    assert (-bias[:, 1, 0]).tolist() == [1 / 2**exponent for exponent in range(1, 9)]
    sixteen = AlibiPositions(16).relative(like(2)).bias
    assert sixteen is not None
    assert (-sixteen[:, 1, 0]).tolist() == pytest.approx([0.5 ** (exponent / 2) for exponent in range(1, 17)])


@pytest.mark.parametrize("first", [0, 4])
def test_alibi_is_its_equation(first: int) -> None:
    """softmax(q_i K^T + m · [−(i−1), …, −2, −1, 0]), with the mirrored penalty on words after the query."""
    bias = AlibiPositions(HEADS).relative(like(), first).bias
    assert bias is not None
    assert bias.shape == (HEADS, LENGTH, first + LENGTH)
    for head, query, key in itertools.product(range(HEADS), range(LENGTH), range(first + LENGTH)):
        distance = first + query - key
        before, after = (2 ** (-8 * (head + 1 - shift) / HEADS) for shift in (0, 0.5))
        expected = -before * distance if distance > 0 else after * distance
        assert bias[head, query, key].item() == pytest.approx(expected, abs=1e-12)


@given(first=st.integers(0, 500), heads=st.integers(1, 8), half=st.integers(1, 8))
def test_shifting_both_positions_changes_nothing(first: int, heads: int, half: int) -> None:
    generator = torch.Generator().manual_seed(first)
    queries, keys = torch.randn(2, 1, heads, 5, 2 * half, dtype=torch.float64, generator=generator)
    states = torch.zeros(1, 5, 2 * half * heads, dtype=torch.float64)

    def scores(relative: RelativePositions) -> Tensor:
        products = relative.rotate(queries) @ relative.rotate(keys).transpose(2, 3)
        return products if relative.bias is None else products + relative.bias[..., -5:]

    for positions in (RotaryPositions(2 * half), AlibiPositions(heads)):
        torch.testing.assert_close(scores(positions.relative(states, first)), scores(positions.relative(states)))


@pytest.mark.parametrize("scheme", RELATIVE)
@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_it_is_a_naive_loop_and_its_gradient_is_right(scheme: str, causal: bool) -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(HEADS * D_HEAD, HEADS).double().requires_grad_(False)
    relative = (RotaryPositions(D_HEAD) if scheme == "rotary" else AlibiPositions(HEADS)).relative(like(4))
    visible = torch.ones(4, 4, dtype=torch.bool)
    scope = Scope(visible=(visible.tril() if causal else visible)[None, None]).with_bias(relative.bias)

    def attend(inputs: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        result: Tensor = attention(inputs, *attention.keys_and_values(inputs, relative), scope, relative, maps)
        return result

    inputs = torch.randn(1, 4, HEADS * D_HEAD, dtype=torch.float64, requires_grad=True)
    maps: list[Tensor] = []
    torch.testing.assert_close(attend(inputs), attend(inputs, maps))
    queries = attention.query_projection(inputs)[0].unflatten(-1, (HEADS, D_HEAD))
    keys = attention.key_value_projection(inputs)[0, :, : HEADS * D_HEAD].unflatten(-1, (HEADS, D_HEAD))
    for head, m in itertools.product(range(HEADS), range(4)):
        scores = []
        for n in range(m + 1 if causal else 4):
            query, key = queries[m, head].tolist(), keys[n, head].tolist()
            if scheme == "rotary":
                pairs = zip(rotated(query, m), rotated(key, n), strict=True)
                scores.append(sum((q * k.conjugate()).real for q, k in pairs) / math.sqrt(D_HEAD))
            else:
                slope = 2 ** (-8 * (head + 1 if n <= m else head + 0.5) / HEADS)
                scores.append(sum(map(mul, query, key)) / math.sqrt(D_HEAD) - slope * abs(m - n))
        total = sum(map(math.exp, scores))
        weights = [math.exp(score) / total for score in scores] + [0.0] * (4 - len(scores))
        assert maps[0][0, head, m].tolist() == pytest.approx(weights, abs=1e-12)
    assert torch.autograd.gradcheck(attend, (inputs,))


@pytest.mark.parametrize(
    ("scheme", "same"),
    [("none", True), ("sinusoidal", False), ("learned", False), ("rotary", False), ("alibi", False)],
)
@pytest.mark.parametrize("n_heads", [1, 2])
def test_the_encoder_distinguishes_a_sentence_from_its_mirror_image(scheme: str, same: bool, n_heads: int) -> None:
    """Without an end of sentence, whose position alone would distinguish the two."""
    config = {"kind": "transformer", "d_model": 12, "n_heads": n_heads, "positions": scheme}
    model = make_model(TransformerConfig.model_validate(config))
    dog_bites_man, man_bites_dog = collate([[5, 6, 7]], [[8]]), collate([[7, 6, 5]], [[8]])
    assert torch.allclose(model(dog_bites_man), model(man_bites_dog)) == same


@pytest.mark.parametrize("scheme", RELATIVE)
def test_the_encoder_depends_only_on_distances(scheme: str) -> None:
    """The states of the words do not depend on where the sentence begins."""
    model = make_model(TransformerConfig.model_validate({"d_model": 12, "n_heads": 3, "positions": scheme}))
    assert isinstance(model, TransformerSeq2Seq)
    batch = make_batch([6], [2])
    at_zero = model.encode(batch.source_ids, batch.source_valid).states
    padded = torch.cat((torch.full((1, 9), 5), batch.source_ids), dim=1)
    valid = torch.cat((torch.zeros(1, 9, dtype=torch.bool), batch.source_valid), dim=1)
    torch.testing.assert_close(model.encode(padded, valid).states[:, 9:], at_zero)


def test_a_head_that_cannot_be_rotated_is_refused() -> None:
    tree = {"data": {"corpus": "synthetic"}, "train": {"max_steps": 1}}
    with pytest.raises(ConfigError, match=r"model: d_model / n_heads must be even for rotary positions, found 3"):
        parse_config(tree | {"model": {"kind": "transformer", "d_model": 12, "positions": "rotary"}}, "here")


def test_a_checkpoint_of_another_scheme_is_refused_by_the_name_of_the_field(tmp_path: Path) -> None:
    """The weights of both have the same names and shapes, so only the field shows the difference."""
    text = write_copy_task(tmp_path / "text", pairs=120)
    config = make_config(text, {"kind": "transformer", "n_heads": 2, "positions": "rotary"}, max_steps=1)
    run = tmp_path / "run"
    train(config, run, "cpu", quiet=True)
    lines = (text / "test.tsv").read_text(encoding="utf-8").splitlines()
    sources = write(tmp_path / "sources", "".join(line.split("\t")[0] + "\n" for line in lines))
    assert call("translate", run, sources).stdout.count("\n") == len(lines)
    other = load_config(RunFolder(run).config_file, ["model.positions=alibi"])
    RunFolder(run).config_file.write_text(dump_config(other), encoding="utf-8")
    refused = call("translate", run, sources)
    assert refused.code == 2
    assert "belongs to another model: model.positions was rotary and is alibi" in refused.complaint
