"""The comparisons that are made, and how one is measured."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from scripts.peers.assignments import Effort, Model, assign, configure
from scripts.peers.drive_seq2attn import build_own_model
from scripts.peers.driver import Driver, DriverCall
from scripts.peers.ratios import Ratio, compare
from seq2attn.benchmark.machine import Audience, alternate
from seq2attn.benchmark.workload import Workload
from seq2attn.config.schema import Config
from seq2attn.device import bfloat16_instruction
from seq2attn.export.ctranslate2 import export_ctranslate2
from seq2attn.runs.folder import RunFolder, TrainedRun

_OWN, _JOEY, _MARIAN, _LINGO = "seq2attn", "JoeyNMT", "Marian", "torchlingo"
_EXPORTED, _CONVERTED = "seq2attn in CTranslate2", "Marian in CTranslate2"
_ROUNDED = "seq2attn in bfloat16"


@dataclass(frozen=True)
class Pairing:
    """One kind of work of one model, and which tools are compared in it."""

    model: Model
    work: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def tools(self) -> list[str]:
        """All that take part, in the order of their turns."""
        return _once(tool for pair in self.pairs for tool in pair)

    def here(self) -> Pairing:
        """Without bfloat16 where this processor does not multiply in it."""
        return replace(self, pairs=tuple(pair for pair in self.pairs if _ROUNDED not in pair or bfloat16_instruction()))


PAIRINGS = (
    Pairing(Model.rnn, "training", ((_OWN, _JOEY),)),
    Pairing(Model.rnn, "training, own batches", ((_OWN, _JOEY), (_ROUNDED, _JOEY))),
    Pairing(Model.rnn, "beam", ((_OWN, _JOEY), (_ROUNDED, _JOEY))),
    Pairing(Model.transformer, "training", ((_OWN, _JOEY), (_OWN, _MARIAN), (_OWN, _LINGO))),
    Pairing(Model.transformer, "training, own batches", ((_OWN, _JOEY), (_ROUNDED, _JOEY))),
    Pairing(Model.transformer, "beam", ((_OWN, _JOEY), (_OWN, _MARIAN), (_OWN, _EXPORTED), (_EXPORTED, _CONVERTED))),
)


@dataclass(frozen=True)
class Environments:
    """The interpreters of the peers, in the environments that `scripts/bench_peers.sh` makes in `folder`."""

    folder: Path

    @property
    def joeynmt(self) -> Path:
        """With JoeyNMT."""
        return self.folder / "joeynmt" / "bin" / "python"

    @property
    def transformers(self) -> Path:
        """With transformers and CTranslate2."""
        return self.folder / "transformers" / "bin" / "python"

    @property
    def torchlingo(self) -> Path:
        """With torchlingo."""
        return self.folder / "torchlingo" / "bin" / "python"


@dataclass(frozen=True)
class Found:
    """What was measured with one model."""

    ratios: list[Ratio]
    tools: dict[str, Mapping[str, Any]]
    """What each tool says of itself."""


def measure_model(
    model: Model,
    workload: Workload,
    peers: Environments,
    effort: Effort,
    audience: Audience,
) -> Found:
    """All pairings of `model`.

    Raises: DriverError where a driver ends on its own.
    """
    config = configure(model)
    pairings = [pairing.here() for pairing in PAIRINGS if pairing.model == model]
    exported = workload.folder / f"exported {model}"
    if any(_EXPORTED in pairing.tools for pairing in pairings):
        export_own(config, workload, exported)
    calls = {
        _OWN: DriverCall(Path(sys.executable), "scripts.peers.drive_seq2attn"),
        _ROUNDED: DriverCall(Path(sys.executable), "scripts.peers.drive_seq2attn", ("bfloat16",)),
        _JOEY: DriverCall(peers.joeynmt, "scripts.peers.drive_joeynmt"),
        _MARIAN: DriverCall(peers.transformers, "scripts.peers.drive_marian"),
        _LINGO: DriverCall(peers.torchlingo, "scripts.peers.drive_torchlingo"),
        _EXPORTED: DriverCall(peers.transformers, "scripts.peers.drive_ctranslate2", (str(exported),)),
        _CONVERTED: DriverCall(peers.transformers, "scripts.peers.drive_ctranslate2"),
    }
    path = workload.folder / f"assignment of {model}.json"
    assign(workload, config, effort).save(path)
    return run_pairings(pairings, calls, path, effort.threads, effort.seconds, audience)


def run_pairings(
    pairings: Sequence[Pairing],
    calls: Mapping[str, DriverCall],
    path: Path,
    threads: int,
    seconds: float,
    audience: Audience,
) -> Found:
    """The `pairings`, about `seconds` for each; `calls` start the tools, once, with the assignment in `path`.

    Raises: DriverError where a driver ends on its own.
    """
    ratios: list[Ratio] = []
    with ExitStack() as running:
        drivers = {
            tool: running.enter_context(Driver(tool, calls[tool], path, threads))
            for tool in _once(tool for pairing in pairings for tool in pairing.tools)
        }
        for pairing in pairings:
            audience.say(f"{pairing.model}, {pairing.work}: {', '.join(pairing.tools)} in turn")
            rounds = alternate(
                {tool: partial(drivers[tool].round, pairing.work) for tool in pairing.tools}, seconds, audience
            )
            ratios += [compare(pairing.model, pairing.work, tool, peer, rounds) for tool, peer in pairing.pairs]
        return Found(ratios, {tool: driver.about for tool, driver in drivers.items()})


def export_own(config: Config, workload: Workload, folder: Path) -> None:
    """The model that seq2attn's driver translates with, as CTranslate2 reads it."""
    model = build_own_model(config, workload.subwords.target_size).eval()
    export_ctranslate2(TrainedRun(RunFolder(folder), config, workload.subwords, model, {}), folder)


def _once(names: Iterable[str]) -> list[str]:
    """`names` in their order, each once."""
    return list(dict.fromkeys(names))
