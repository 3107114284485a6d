"""Training in bfloat16: the same updates within rounding, and weights that stay float32."""

from __future__ import annotations

import pytest
import torch

from seq2attn.config.schema import TrainConfig
from seq2attn.device import computing_in
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.update import update_weights
from tests.conftest import MODELS, make_batch, make_model

BATCH = make_batch([5, 3, 7], [4, 6, 2])


@pytest.mark.parametrize("name", [name for name in MODELS if "deep" not in name])
def test_updates_in_bfloat16_are_those_of_float32_within_its_rounding(name: str) -> None:
    losses, norms = {}, {}
    for precision in ("float32", "bfloat16"):
        model = make_model(MODELS[name]).float().train()
        settings = TrainConfig(max_steps=1, precision=precision)
        optimizer = build_optimizer(model, settings)
        torch.manual_seed(1)
        update = update_weights(model, optimizer, [BATCH], settings, 1, 0.01)
        losses[precision], norms[precision] = update.loss, update.norm
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    # Eight bits of mantissa: products err by 0.4 %.
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert norms["bfloat16"] == pytest.approx(norms["float32"], rel=0.1)
    assert losses["bfloat16"] != losses["float32"]


def test_float32_is_left_as_it_is() -> None:
    a, b = torch.randn(8, 8), torch.randn(8, 8)
    with computing_in("float32", a.device):
        assert torch.equal(a @ b, torch.mm(a, b))
        assert (a @ b).dtype == torch.float32
