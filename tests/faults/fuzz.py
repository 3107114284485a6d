"""Feeds random bytes to the readers, the configuration and `translate`, until the time is up.

Usage: python -m tests.faults.fuzz [--minutes 5] [--seed 1]

Each round is a pure function of its number, so a failed round can be repeated with `--only NUMBER`. The numbers of
rounds that once failed stand in `SEEDS` and are run again by tests/faults/test_fuzz.py.
"""

from __future__ import annotations

import argparse
import gzip
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from ruamel.yaml import YAML

from seq2attn.config.load import dump_config, load_config
from seq2attn.data.cleaning import SplitCounts, TrainingRules, clean_held_out, clean_training
from seq2attn.data.files import read_lines, read_rows
from seq2attn.errors import Seq2AttnError
from seq2attn.runs.checkpoint import load_state, load_weights, save_checkpoint
from tests.command_line import CONFIGS, call, train_tiny

SEEDS: tuple[int, ...] = (12096,)

PIECES = (
    *(b"\n", b"\r\n", b"\r", b"\t", b"\0", b" ", b"\xff", b"\xc3", b"\xe2\x80\xa8", b"\xc2\x85", b"\xef\xbb\xbf"),
    *map(
        str.encode,
        ("\u200f", "😀", "ไทย", "日本", "e\u0301", "\ufffd", "\u2581", "<s>", "</s>", "ba be", "bi", "B", "…"),
    ),
)
JSON_PIECES = (
    b'{"source": "a", "target": "b"}\n',
    b'{"translation": {"xx": null, "yy": "b"}}\n',
    b'"\\ud800"',
    b"[",
    b"1e999",
)
YAML_PIECES = (
    b"data:",
    b"model: {kind: rnn}\n",
    b"train: ",
    b"  ",
    b"- ",
    b"&a ",
    b"*a",
    b"!!python/name:os ",
    b"1e9",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\n",
    b": ",
    b"'",
    b'"',
    b"|",
    b">",
    b".nan",
    b"? ",
    b"---\n",
    b"#",
)
RULES = TrainingRules("xx", "yy", 40, 40, 4.0, True, 3, frozenset({"ba be"}))


def some_bytes(draw: random.Random, pieces: tuple[bytes, ...], most: int = 40) -> bytes:
    """Pieces in random order, sometimes with random bytes between them."""
    chosen = [draw.choice(pieces) if draw.random() < 0.95 else draw.randbytes(3) for _ in range(draw.randrange(most))]
    return b"".join(chosen)


def mutated(draw: random.Random, content: bytes) -> bytes:
    """`content` with some bytes changed, cut out or doubled."""
    changed = bytearray(content)
    for _ in range(draw.randrange(1, 6)):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(3):
            case 0:
                changed[place : place + 1] = draw.randbytes(1)
            case 1:
                del changed[place : place + draw.randrange(1, 50)]
            case _:
                changed[place:place] = changed[place : place + draw.randrange(1, 50)]
    return bytes(changed)


class Fuzzer:
    """Runs the targets. Each gets a random number generator, and fails on any error except those meant for users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = train_tiny(folder / "run", folder / "data")
        save_checkpoint(folder / "step_1", {"weight": torch.arange(6.0)}, {"step": 1, "ranking": [(0.5, 1)]}, {})
        self.targets: tuple[Callable[[random.Random], None], ...] = (
            self.lines_are_kept,
            self.pairs_are_read_or_an_error,
            self.a_configuration_is_accepted_or_an_error,
            self.a_checkpoint_is_intact_or_an_error,
            self.translate_gives_one_line_for_one,
        )

    def round(self, number: int) -> str:
        """Run round `number`; the name of its target."""
        draw = random.Random(number)
        # A translation takes a hundred times as long as the others.
        target = draw.choices(self.targets, weights=(30, 30, 30, 30, 1))[0]
        try:
            target(draw)
        except Seq2AttnError as error:
            if "\n" in str(error):
                raise AssertionError(f"round {number}: a message of several lines") from error
        except Exception as error:
            raise AssertionError(f"round {number}, {target.__name__}: {error!r}") from error
        return target.__name__

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def lines_are_kept(self, draw: random.Random) -> None:
        content = some_bytes(draw, PIECES)
        lines = list(read_lines(self.write("lines.txt", content)))
        assert len(lines) == content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
        assert not any("\n" in line for line in lines)

    def pairs_are_read_or_an_error(self, draw: random.Random) -> None:
        kind = draw.choice((".tsv", ".jsonl", ".tsv.gz", ".jsonl.gz", ".parquet"))
        content = some_bytes(draw, PIECES if "tsv" in kind else JSON_PIECES + PIECES)
        if kind.endswith(".gz"):
            content = gzip.compress(content)
        if draw.random() < 0.3:
            content = mutated(draw, content)
        rows = list(read_rows(str(self.write(f"pairs{kind}", content)), "xx", "yy"))
        for clean in (
            lambda counts: clean_training(rows, RULES, counts),
            lambda counts: clean_held_out(rows, counts),
        ):
            counts = SplitCounts()
            kept = list(clean(counts))
            added = counts.clauses + counts.joined
            assert counts.read == len(rows) == len(kept) - added + sum(counts.dropped.values())

    def a_configuration_is_accepted_or_an_error(self, draw: random.Random) -> None:
        if draw.random() < 0.5:
            content = mutated(draw, draw.choice(sorted(CONFIGS.rglob("*.yaml"))).read_bytes())
        else:
            content = some_bytes(draw, YAML_PIECES)
        config = load_config(self.write("any.yaml", content))
        assert YAML(typ="safe", pure=True).load(dump_config(config)) == config.model_dump()

    def a_checkpoint_is_intact_or_an_error(self, draw: random.Random) -> None:
        path = self.folder / "step_1" / draw.choice(("model.safetensors", "state.pt", "manifest.json"))
        original = path.read_bytes()
        path.write_bytes(mutated(draw, original))
        try:
            changed = path.read_bytes() != original and path.name != "manifest.json"
            load_weights(path.parent)
            load_state(path.parent)
            assert not changed, f"{path.name} was changed, but no error was raised"
        finally:
            path.write_bytes(original)

    def translate_gives_one_line_for_one(self, draw: random.Random) -> None:
        content = some_bytes(draw, PIECES, most=60)
        done = call("translate", self.run, self.write("text", content))
        assert "Traceback" not in done.stderr
        try:
            lines = len(list(read_lines(self.folder / "text")))
        except Seq2AttnError:
            assert (done.code, done.stdout) == (2, "")
        else:
            assert (done.code, done.stdout.count("\n")) == (0, lines), done.stderr


def main() -> None:
    """Fuzz for the given time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1, help="Number of the first round.")
    parser.add_argument("--only", type=int, help="Run this round alone.")
    options = parser.parse_args()
    tried: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="seq2attn-fuzz-") as folder:
        fuzzer = Fuzzer(Path(folder))
        number = options.seed if options.only is None else options.only
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            name = fuzzer.round(number)
            tried[name] = tried.get(name, 0) + 1
            if options.only is not None:
                break
            number += 1
    print(", ".join(f"{name}: {count:,}" for name, count in sorted(tried.items())))


if __name__ == "__main__":
    main()
