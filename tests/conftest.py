"""Small models and batches that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch
from hypothesis import HealthCheck, settings

from seq2attn.config.models import KeptHeads, ModelConfig, RnnConfig, TransformerConfig
from seq2attn.data.batch import Batch, collate
from seq2attn.models.build import build_model
from seq2attn.models.seq2seq import Seq2Seq
from tests.command_line import train_tiny

# The time of an example depends mostly on what else the machine does.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")
# Bits depend on the number of threads, and the trainings that tests start in new processes have one.
torch.set_num_threads(1)

VOCAB_SIZE = 23
FAULTS = "faults"
"""The property of a test's report that counts them. It is summed up here and not in `faults/`, because the process that
hands the tests out to others reads this file alone."""

MODELS: dict[str, ModelConfig] = {
    "fixed_gru": RnnConfig(attention="none", cell="gru", d_model=12),
    "fixed_gru_without_gate": RnnConfig(attention="none", cell="gru", d_model=12, context_gate=False),
    "fixed_lstm_mean": RnnConfig(attention="none", cell="lstm", d_model=12, summary="mean", n_layers=2),
    "additive_gru": RnnConfig(attention="additive", cell="gru", d_model=12),
    "additive_lstm_deep": RnnConfig(attention="additive", cell="lstm", d_model=12, n_layers=2),
    "dot_lstm": RnnConfig(attention="dot", cell="lstm", d_model=12),
    "general_lstm_feeding": RnnConfig(attention="general", cell="lstm", d_model=12, input_feeding=True),
    "scaled_dot_gru_deep": RnnConfig(attention="scaled_dot", cell="gru", d_model=12, n_layers=2),
    "transformer_pre": TransformerConfig(d_model=12, n_heads=3, n_layers=2),
    "transformer_post": TransformerConfig(d_model=12, n_heads=2, n_layers=1, norm="post", positions="learned"),
    "transformer_bag": TransformerConfig(d_model=12, n_heads=2, positions="none", tie_embeddings=False),
    "transformer_rotary": TransformerConfig(d_model=12, n_heads=3, n_layers=2, positions="rotary"),
    "transformer_alibi": TransformerConfig(d_model=12, n_heads=3, n_layers=2, positions="alibi"),
    "transformer_unscaled": TransformerConfig(d_model=12, n_heads=2, attention="dot"),
    "transformer_window": TransformerConfig(d_model=12, n_heads=3, n_layers=2, self_attention="window", window=2),
    "transformer_linear": TransformerConfig(d_model=12, n_heads=3, n_layers=2, self_attention="linear"),
    "transformer_pruned": TransformerConfig(
        d_model=12,
        n_heads=3,
        n_layers=2,
        positions="alibi",
        kept_heads=KeptHeads(encoder=[[1, 3], [2]], decoder=[[3], [1, 2, 3]], cross=[[2], [1, 3]]),
    ),
}


@pytest.fixture(autouse=True)
def _no_data_in_the_home_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests without a data folder write into a new one."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / f"home-{uuid4().hex}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of faults injected and survived."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    calls = [report for report in reports if getattr(report, "when", None) == "call"]
    counts = [counts for report in calls for name, counts in report.user_properties if name == FAULTS]
    injected, survived = (sum(count[key] for count in counts) for key in ("injected", "survived"))
    if injected:
        terminalreporter.write_line(f"faults: {injected} injected, {survived} survived")


def make_model(config: ModelConfig, dtype: torch.dtype = torch.float64, **sizes: Any) -> Seq2Seq:
    """A small model with fixed random weights, in evaluation mode."""
    torch.manual_seed(5)
    sizes = {"source_vocab_size": VOCAB_SIZE, "target_vocab_size": VOCAB_SIZE, "joint_subwords": True} | sizes
    return build_model(config, **sizes).to(dtype).eval()


def make_batch(source_lengths: list[int], target_lengths: list[int], seed: int = 0) -> Batch:
    """Random sentences of the given lengths, with no special ids except the source's EOS."""
    generator = torch.Generator().manual_seed(seed)

    def draw(length: int) -> list[int]:
        return torch.randint(4, VOCAB_SIZE, (length,), generator=generator).tolist()

    return collate([[*draw(n - 1), 3] for n in source_lengths], [draw(n) for n in target_lengths])


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Seq2Seq:
    return make_model(MODELS[request.param])


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the synthetic corpus and of the caches of small runs."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def tiny_run(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run trained for a few seconds on the synthetic corpus; tests must not change it."""
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny", data_folder)


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The number of PyTorch's threads for one test, its (indirect) parameter."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    assert torch.get_num_threads() == request.param
    yield request.param
    torch.set_num_threads(before)
