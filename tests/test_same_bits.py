"""The same updates, again and again, on a machine that is idle and busy by turns: all weights have the same bits.

`SEQ2ATTN_REPEATS=300 pytest -m slow tests/test_same_bits.py` repeats them as often; the default is short. Other tests
compute with one thread, and these with one and two, whatever `OMP_NUM_THREADS` says.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from seq2attn.benchmark.subject import random_batch
from seq2attn.config.load import load_config
from seq2attn.config.schema import Config
from seq2attn.models.build import build_model
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.update import update_weights

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parent.parent / "configs" / "smoke"
REPEATS = int(os.environ.get("SEQ2ATTN_REPEATS", "20"))
UPDATES = 50
BUSY = "import torch; a = torch.randn(700, 700)\nwhile True: a @ a"
"""Uses all cores, as another training would."""


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
@pytest.mark.parametrize("kind", ["rnn_attention", "rnn_fixed", "transformer"])
def test_the_same_updates_have_the_same_bits_whatever_the_load(kind: str, threads: int) -> None:
    config = load_config(CONFIGS / f"{kind}.yaml", ["model.dropout=0.1"])
    draw = random.Random(1)
    expected = digests(config)
    assert len(set(expected)) == UPDATES
    with changing_load(draw):
        for repeat in range(REPEATS):
            # Tensors lie elsewhere in memory.
            others = [torch.empty(draw.randrange(1, 5000)) for _ in range(draw.randrange(100))]
            del others[::2]
            found = digests(config)
            differing = [number for number in range(UPDATES) if found[number] != expected[number]]
            assert not differing, f"repeat {repeat} differs from update {differing[0]} on"


def digests(config: Config) -> list[str]:
    """Of all weights after each of the first updates."""
    torch.manual_seed(config.train.seed)
    vocab_size = config.subwords.vocab_size
    model = build_model(config.model, vocab_size, vocab_size, config.subwords.joint).train()
    optimizer = build_optimizer(model, config.train)
    draw = random.Random(2)
    found: list[str] = []
    for step in range(1, UPDATES + 1):
        longest = draw.randrange(4, 40)
        lengths = [(draw.randrange(2, longest), draw.randrange(2, longest)) for _ in range(1000 // longest)]
        update_weights(model, optimizer, [random_batch(lengths, vocab_size)], config.train, step, 1e-3)
        weights = b"".join(parameter.detach().numpy().tobytes() for parameter in model.parameters())
        found.append(hashlib.blake2b(weights, digest_size=8).hexdigest())
    return found


@contextmanager
def changing_load(draw: random.Random) -> Iterator[None]:
    """Another process that works and rests by turns, each for up to a second."""
    done = threading.Event()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as other:

        def alternate() -> None:
            number = signal.SIGSTOP
            while not done.wait(draw.random()):
                other.send_signal(number)
                number = signal.SIGCONT if number == signal.SIGSTOP else signal.SIGSTOP

        turns = threading.Thread(target=alternate)
        turns.start()
        try:
            yield
        finally:
            done.set()
            turns.join()
            other.kill()
