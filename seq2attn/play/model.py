"""A trained run as a page needs it: a description, the bytes of its weights, and the script that uses both"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from seq2attn.data.subwords import Side, Subwords
from seq2attn.play.weights import Precision, pack
from seq2attn.runs.folder import TrainedRun

# In this order: a file uses what the files before it define.
_SCRIPTS = ("matrix", "kernel", "weights", "model", "rnn", "transformer", "search", "subwords", "translate")
_PUBLIC = "Translator, Subwords, Control, bytesOf, finish, normalise"
# Settings that say nothing about what a trained model computes.
_TRAINING_ONLY = {"dropout"}
_BATCHES_ONLY = {"batch_tokens"}


@dataclass(frozen=True)
class BrowserModel:
    """A model that the script of `engine` translates with."""

    description: dict[str, Any]
    """Name, settings, subwords, and where each tensor lies in `weights`."""
    weights: bytes

    def as_json(self) -> dict[str, Any]:
        """The description with the weights as base64, for a page that holds its model."""
        return {**self.description, "weights": base64.b64encode(self.weights).decode("ascii")}


def browser_model(run: TrainedRun, precision: Precision) -> BrowserModel:
    """The model of `run`, its matrices stored in `precision`."""
    packed = pack(run.model.state_dict(), precision)
    kind = run.config.subwords.kind
    description = {
        "name": run.name,
        "precision": precision,
        "model": run.config.model.model_dump(exclude=_TRAINING_ONLY),
        "decode": run.config.decode.model_dump(exclude=_BATCHES_ONLY),
        "subwords": {
            "source": vocabulary(run.subwords, "source", kind),
            "target": None if run.subwords.joint else vocabulary(run.subwords, "target", kind),
        },
        "tensors": packed.tensors,
    }
    return BrowserModel(description, packed.bytes)


def vocabulary(subwords: Subwords, side: Side, kind: str) -> dict[str, Any]:
    """What the script needs to encode and decode text of one side; `kind`: bpe or unigram."""
    size = subwords.source_size if side == "source" else subwords.target_size
    return {
        "kind": kind,
        "pieces": subwords.pieces(range(size), side),
        "scores": subwords.scores(side),
        "first_byte": subwords.first_byte(side),
    }


def engine() -> str:
    """JavaScript that defines `seq2attn`: `new seq2attn.Translator(description, bytes).translate(sentence)`."""
    folder = files("seq2attn.play") / "engine"
    scripts = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    return f"const seq2attn = (() => {{\n{scripts}\nreturn {{ {_PUBLIC} }};\n}})();\n"
