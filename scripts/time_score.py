"""Time and peak memory of `seq2attn score` on made-up text: `python scripts/time_score.py --sentences 1000000`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_VOCABULARY = 30_000
_MEAN_WORDS = 20
_AT_ONCE = 10_000


def sentences(n: int, quality: float, seed: int) -> Iterator[str]:
    """The same `n` sentences whatever the quality: their words are kept with that probability, or replaced."""
    text, errors = np.random.default_rng(0), np.random.default_rng(seed)
    for start in range(0, n, _AT_ONCE):
        lengths = np.maximum(1, text.gamma(3.0, _MEAN_WORDS / 3.0, min(_AT_ONCE, n - start)).astype(int))
        words = text.zipf(1.3, lengths.sum()) % _VOCABULARY
        replaced = errors.random(len(words)) >= quality
        words[replaced] = errors.integers(_VOCABULARY, size=replaced.sum())
        for sentence in np.split(words, np.cumsum(lengths)[:-1]):
            yield " ".join(f"w{word}" for word in sentence)


def main() -> None:
    """Write the files, score them in a new process, and print the time and memory it took."""
    import resource  # not on Windows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    parser.add_argument("--systems", type=int, default=1)
    options, further = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.txt" for name in ("reference", *map(str, range(options.systems)))]
        for seed, file in enumerate(files):
            text = sentences(options.sentences, 1.0 if seed == 0 else 0.7, seed)
            file.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
        reference, *systems = map(str, files)
        command = ["score", "--source", reference, "--reference", reference, *systems, "--by-length", *further]
        started = time.monotonic()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "seq2attn", *command], check=True, env=environment)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.monotonic() - started
    processor = used.ru_utime + used.ru_stime
    print(f"{seconds:.0f} s, {processor:.0f} s of them computing, at most {used.ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
