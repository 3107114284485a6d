"""Translates standard input line by line (`python translate_onnx.py < text`) with onnxruntime and sentencepiece"""

import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
import onnxruntime
import sentencepiece


def clean(text: str) -> str:
    """The text in Unicode NFC, on one line and with single spaces."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def translate(sentences: list[str], folder: Path = Path(__file__).parent) -> list[str]:
    """The translations of `sentences` as one batch: the most probable token at each position."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    models = [str(folder / config["subwords"][side]) for side in ("source", "target")]
    source, target = (sentencepiece.SentencePieceProcessor(model_file=model) for model in models)
    encoder, decoder = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder", "decoder"))
    eos, most = config["eos_id"], config["max_target_tokens"] or sys.maxsize
    sources = [[*ids[: config["max_source_tokens"] - 1], eos] for ids in source.encode(list(map(clean, sentences)))]
    limits = [min(int(config["max_length_ratio"] * len(ids)) + config["extra_length"], most) for ids in sources]
    source_ids = np.full((len(sources), max(map(len, sources))), config["pad_id"])
    for row, ids in enumerate(sources):
        source_ids[row, : len(ids)] = ids
    names = [tensor.name for tensor in decoder.get_inputs() if tensor.name != "token_ids"]
    inputs = dict(zip(names, encoder.run(names, {"source_ids": source_ids}), strict=True))
    states = [name for name in names if name.startswith("state.")]
    inputs["token_ids"] = np.full(len(sources), config["bos_id"])
    written: list[list[int]] = [[eos] if ids == [eos] else [] for ids in sources]
    while any(len(ids) < limit and eos not in ids for ids, limit in zip(written, limits, strict=True)):
        logits, *after = decoder.run(["logits", *(f"new_{name}" for name in states)], inputs)
        logits[:, [config["pad_id"], config["bos_id"]]] = -np.inf
        inputs |= dict(zip(states, after, strict=True)) | {"token_ids": logits.argmax(axis=-1)}
        for ids, token_id in zip(written, inputs["token_ids"].tolist(), strict=True):
            ids.append(token_id)
    finished = [ids[: min(limit, [*ids, eos].index(eos))] for ids, limit in zip(written, limits, strict=True)]
    return [clean(text) for text in target.decode(finished)]


if __name__ == "__main__" and (lines := sys.stdin.readlines()):
    print(*translate(lines), sep="\n")
