"""What every driver has in common: it reads an assignment from a file and does rounds of work on request.

A driver is a process of the tool under measurement. On standard output it writes one JSON line when it is ready and one
for each round, on standard input it reads the name of the work to do, and it ends where that ends. Only the standard
library is used here, because each driver runs in the environment of its own tool.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DecodingBatch:
    """Sentences that are translated together."""

    sources: list[list[int]]
    """Ids with EOS at the end."""
    steps: int
    """Length of every translation: the end mark is forbidden before."""

    @property
    def tokens(self) -> int:
        """Target tokens of the best hypotheses."""
        return self.steps * len(self.sources)


@dataclass(frozen=True)
class TrainingBatch:
    """Sentence pairs of one update."""

    sources: list[list[int]]
    """Ids with EOS at the end."""
    targets: list[list[int]]
    """Ids without BOS and EOS."""

    @property
    def tokens(self) -> int:
        """Target tokens, EOS included."""
        return sum(len(target) + 1 for target in self.targets)


@dataclass(frozen=True)
class Assignment:
    """What all drivers of a comparison are given, the same for each."""

    config: dict[str, Any]
    """A resolved configuration of seq2attn: its sections `model`, `train` and `decode` say what is trained and how."""
    pieces: list[str]
    """The subwords of both sides; the place of each is its id."""
    pad_id: int
    unk_id: int
    bos_id: int
    eos_id: int
    training: list[TrainingBatch]
    """Sentences of similar length together, as seq2attn trains on them."""
    ungrouped: list[TrainingBatch]
    """Sentences as they come in random order, in batches of as many tokens."""
    decoding: list[DecodingBatch]
    threads: int

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Assignment:
        """What `save` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        training, ungrouped = (
            [TrainingBatch(**batch) for batch in fields.pop(name)] for name in ("training", "ungrouped")
        )
        decoding = [DecodingBatch(**batch) for batch in fields.pop("decoding")]
        return cls(training=training, ungrouped=ungrouped, decoding=decoding, **fields)


@dataclass(frozen=True)
class Tool:
    """A tool that is ready to work."""

    versions: Mapping[str, str]
    parameters: int | None
    """Trainable weights, shared ones counted once; none where the tool does not train."""
    works: Mapping[str, Callable[[], int]]
    """By name, what does a round of each kind of work and answers how many target tokens it was."""


def serve(build: Callable[[Assignment, Sequence[str]], Tool]) -> None:
    """Do rounds with the tool that `build` makes from the assignment, a file named first, and the other arguments."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not come between the answers
    path, *arguments = sys.argv[1:]
    tool = build(Assignment.load(Path(path)), arguments)
    print(json.dumps({"versions": dict(tool.versions), "parameters": tool.parameters}), file=answers)
    for line in sys.stdin:
        work = tool.works[line.strip()]
        started = time.perf_counter()
        tokens = work()
        print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - started}), file=answers)


def padded(rows: Sequence[Sequence[int]], pad_id: int) -> list[list[int]]:
    """`rows` with `pad_id` at their ends, all as long as the longest."""
    longest = max(map(len, rows))
    return [[*row, *[pad_id] * (longest - len(row))] for row in rows]
