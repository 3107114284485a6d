"""The table of expected scaling in docs/scaling.md: what a stated model says of 8 and 64 GPUs

An update's time is that of its batches, one after another, and of one all-reduce that does not overlap with them:

    t = k c + 2 (N - 1) / N · bytes / bandwidth + 2 (N - 1) latency,  speed-up = N k c / t

with N GPUs, k batches of each GPU in an update, and the time c of a batch: its arithmetic over the rate of one GPU.
"""

from __future__ import annotations

from pathlib import Path

from seq2attn.benchmark.flops import Sizes, training_flops
from seq2attn.config.load import load_config
from seq2attn.models.build import build_model

CONFIG = Path(__file__).parent.parent / "configs" / "full" / "transformer.yaml"
_LENGTH = 27  # subwords of a sentence, of bible-fr-en on average
_FLOPS_PER_SECOND = 150e12
_BANDWIDTHS = {8: 200e9, 64: 40e9}  # bytes a second of the slowest link in a ring: NVLink; 400 Gbit/s InfiniBand
_LATENCY = 5e-6
_BATCHES = (1, 4, 16)
_TOKENS = (4_000, 16_000)


def expected_speedup(n_gpus: int, seconds_of_batch: float, n_batches: int, gradient_bytes: int) -> float:
    """How many times as many tokens a second `n_gpus` train as one."""
    reduction = 2 * (n_gpus - 1) / n_gpus * gradient_bytes / _BANDWIDTHS[n_gpus] + 2 * (n_gpus - 1) * _LATENCY
    compute = n_batches * seconds_of_batch
    return n_gpus * compute / (compute + reduction)


def expected_scaling() -> str:
    """The table in Markdown."""
    config = load_config(CONFIG)
    vocab_size = config.subwords.vocab_size
    n_weights = build_model(config.model, vocab_size, vocab_size, config.subwords.joint).count_parameters()
    lines = [
        "| tokens in a batch | batches of a GPU in an update | 8 GPUs, one node | 64 GPUs, eight nodes |",
        "| --: | --: | --: | --: |",
    ]
    for tokens in _TOKENS:
        sizes = Sizes.of([(_LENGTH, _LENGTH)] * (tokens // _LENGTH))
        seconds = training_flops(config.model, vocab_size, sizes) / _FLOPS_PER_SECOND
        for n_batches in _BATCHES:
            speedups = [expected_speedup(n, seconds, n_batches, 4 * n_weights) for n in _BANDWIDTHS]
            cells = (f"{speedup:.1f} × ({speedup / n:.0%})" for speedup, n in zip(speedups, _BANDWIDTHS, strict=True))
            lines.append(f"| {tokens:,} | {n_batches} | {' | '.join(cells)} |".replace("%", " %"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(expected_scaling(), end="")
