"""Rate and memory of training text in shards, on made-up pairs: `python scripts/bench_shards.py --pairs 1000000`.

Writes Parquet shards into a new folder, then, as a training does, cleans them, learns subwords, encodes, and sorts and
loads the first batches. Memory is what the processes hold of their own: not the pages of mapped files, which the kernel
can reclaim. Removes all it wrote.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from seq2attn.config.schema import DataConfig, SubwordsConfig, TrainConfig
from seq2attn.corpora.load import cache_folder, load_corpus, processes_of
from seq2attn.data.encoded import encode_split
from seq2attn.data.loader import Loader
from seq2attn.data.subwords import Subwords

SYLLABLES = ["".join(letters) for letters in product("bdgklmnprstvz", "aeiou")]
N_WORDS = 30_000
MEAN_WORDS = 7
N_BATCHES = 200
HELD_OUT = 1000


def words() -> list[str]:
    """Made-up words; the most frequent ones, which come first, are the shortest."""
    longer = ("".join(parts) for n in (1, 2, 3) for parts in product(SYLLABLES, repeat=n))
    return [word for word, _ in zip(longer, range(N_WORDS), strict=False)]


def sentences(random: np.random.Generator, n: int) -> list[str]:
    """Sentences of random words."""
    lexicon = words()
    lengths = np.maximum(1, random.gamma(3.0, MEAN_WORDS / 3.0, n).astype(int))
    chosen = (random.zipf(1.2, lengths.sum()) % N_WORDS).tolist()
    ends = np.cumsum(lengths).tolist()
    return [
        " ".join([lexicon[word] for word in chosen[start:end]])
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def write_shard(folder: Path, pairs: int, number: int) -> None:
    """Write one shard."""
    random = np.random.default_rng(number)
    table = pa.table({"source": sentences(random, pairs), "target": sentences(random, pairs)})
    pq.write_table(table, folder / f"part-{number:05}.parquet", compression="zstd")


@dataclass
class OwnMemory:
    """The most memory of its own that this process, and it with its children, held at a time, in MB."""

    this: float = 0.0
    all: float = 0.0
    is_running: bool = field(default=True, repr=False)

    def watch(self) -> None:
        """Look twice a second."""
        while self.is_running:
            own = _anonymous_memory(os.getpid())
            self.this = max(self.this, own)
            self.all = max(self.all, own + sum(map(_anonymous_memory, _children())))
            time.sleep(0.5)


def _children() -> list[int]:
    tasks = Path("/proc/self/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]


def _anonymous_memory(process: int) -> float:
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # it has just ended
        return 0.0
    return sum(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("RssAnon:"))


@contextmanager
def measured(what: str, pairs: int) -> Iterator[None]:
    """Print the time of the block, the pairs a second of the clock and of CPUs, and the peak of memory."""
    memory = OwnMemory()
    watcher = threading.Thread(target=memory.watch)
    watcher.start()
    started, busy = time.monotonic(), sum(os.times()[:4])
    try:
        yield
    finally:
        seconds, busy = time.monotonic() - started, sum(os.times()[:4]) - busy
        memory.is_running = False
        watcher.join()
    rates = f"{seconds:>8.1f} s {busy:>8.1f} s of CPUs {pairs / seconds:>11,.0f} pairs/s {pairs / busy:>11,.0f} per CPU"
    print(f"{what:<22}{rates} {memory.this:>7,.0f} MB here {memory.all:>7,.0f} MB in all", flush=True)


def gigabytes(folder: Path) -> float:
    """The size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Write the corpus into `folder` and measure each step."""
    shards, pairs = folder / "train", options.pairs
    shards.mkdir()
    config = DataConfig(
        **{"train": str(shards), "validation": str(folder / "held-out.tsv"), "test": str(folder / "held-out.tsv")},
        **{"source_language": "xx", "target_language": "yy", "folder": str(folder / "data")},
        processes=options.processes,
        drop_duplicates=options.drop_duplicates,
    )
    random = np.random.default_rng(10**6)
    rows = zip(sentences(random, HELD_OUT), sentences(random, HELD_OUT), strict=True)
    (folder / "held-out.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in rows), encoding="utf-8")
    n_shards = -(-pairs // options.shard_pairs)
    spawning = multiprocessing.get_context("spawn")
    with measured(f"write {n_shards} shards", pairs), spawning.Pool(processes_of(config)) as pool:
        pool.map(partial(write_shard, shards, pairs // n_shards), range(n_shards), chunksize=1)
    with measured("clean", pairs):
        corpus = load_corpus(config)
    with measured("learn subwords", min(pairs, 10**6)):
        subwords = Subwords.train(corpus.splits["train"], SubwordsConfig(vocab_size=16_000), random_sample=True)
    with measured("encode", pairs):
        encoded = encode_split(corpus, "train", subwords, cache_folder(config), processes_of(config))
    with measured("sort the first epoch", pairs):
        loader = Loader(encoded, TrainConfig(max_steps=1, batch_tokens=4000), torch.device("cpu"))
    loaded = 0
    with measured(f"first {N_BATCHES} batches", N_BATCHES * 400):
        for _ in range(N_BATCHES):
            loaded += len(loader.next_batches(1).pairs)
    tokens = int(encoded.source_lengths.sum(dtype=np.int64) + encoded.target_lengths.sum(dtype=np.int64))
    print(f"{len(encoded):,} pairs kept, {tokens / len(encoded):.1f} subwords a pair, {loaded / N_BATCHES:.0f} a batch")
    print(f"{gigabytes(shards):.2f} GB of shards, {gigabytes(folder / 'data'):.2f} GB of cleaned text and ids")


def main() -> None:
    """Measure in a new folder, and remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--shard-pairs", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, help="default: one for each core")
    parser.add_argument("--drop-duplicates", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the new folder is made; default: the system's")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="shards-", dir=options.folder))
    try:
        measure(folder, options)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
