"""Small trainings: a copy task of twelve words, and configurations that learn it in seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch

from seq2attn.config.load import parse_config
from seq2attn.config.schema import Config
from seq2attn.runs.folder import RunFolder, TrainedRun, load_run
from seq2attn.training.train import train

WORDS = ["ba", "be", "bi", "bo", "da", "de", "di", "do", "ga", "ge", "gi", "go"]

FAMILIES: dict[str, dict[str, Any]] = {
    "fixed": {"kind": "rnn", "attention": "none", "cell": "gru"},
    "additive": {"kind": "rnn", "attention": "additive", "cell": "gru"},
    "general": {"kind": "rnn", "attention": "general", "cell": "lstm", "input_feeding": True},
    "transformer": {"kind": "transformer", "n_heads": 2},
}

HELD_OUT = 40
MEASURED = {"speed/target_tokens_per_second", "memory/peak_gib"}


def write_copy_task(folder: Path, pairs: int) -> Path:
    """Write TSV files of distinct sentences of 2 to 6 words, each its own translation; 40 in each held-out split."""
    draw = random.Random(1)
    sentences: dict[str, None] = {}
    while len(sentences) < pairs:
        sentences[" ".join(draw.choices(WORDS, k=draw.randint(2, 6)))] = None
    lines = [f"{sentence}\t{sentence}\n" for sentence in sentences]
    splits = {"validation": lines[:HELD_OUT], "test": lines[HELD_OUT : 2 * HELD_OUT], "train": lines[2 * HELD_OUT :]}
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        (folder / f"{split}.tsv").write_text("".join(rows), encoding="utf-8")
    return folder


def make_config(text: Path, model: dict[str, Any], **train: Any) -> Config:
    """A configuration for the files in `text`, with each word as one subword."""
    defaults = {"batch_tokens": 60, "warmup_steps": 3, "learning_rate": 0.01, "validation_sentences": 0}
    return parse_config(
        {
            "name": "copy",
            "data": {
                **{split: str(text / f"{split}.tsv") for split in ("train", "validation", "test")},
                "source_language": "xx",
                "target_language": "yy",
                "folder": str(text / "data"),
            },
            "subwords": {"vocab_size": 27, "byte_fallback": False},
            "model": {"d_model": 16, "dropout": 0.0} | model,
            "train": defaults | train,
        },
        "test",
    )


def train_copier(text: Path, folder: Path, model: dict[str, Any]) -> TrainedRun:
    """A run that has partly learned to copy, so its beams contain different translations of different lengths."""
    config = make_config(text, model, max_steps=80, batch_tokens=200, learning_rate=0.005)
    train(config, folder, "cpu", quiet=True)
    return load_run(folder, torch.device("cpu"))


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl without measurements of the machine."""
    lines = RunFolder(run).metrics_file.read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in MEASURED} for line in lines]


def loss_curve(run: Path) -> list[float]:
    """The reported training losses in order."""
    return [line["loss/train"] for line in read_metrics(run) if "loss/train" in line]
