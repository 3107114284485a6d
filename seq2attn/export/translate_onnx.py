"""Translates standard input line by line (`python translate_onnx.py < text`) with onnxruntime and sentencepiece"""

import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
import onnxruntime
import sentencepiece


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


class Translator:
    """The model in a folder, with greedy search: the most probable token at each position."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        models = [str(folder / self.config["subwords"][side]) for side in ("source", "target")]
        self.source, self.target = (sentencepiece.SentencePieceProcessor(model_file=model) for model in models)
        self.encoder = onnxruntime.InferenceSession(folder / "encoder.onnx")
        self.decoder = onnxruntime.InferenceSession(folder / "decoder.onnx")

    def translate(self, sentences: list[str]) -> list[str]:
        """The translations of `sentences`, as one batch."""
        pad, bos, eos, most = (self.config[key] for key in ("pad_id", "bos_id", "eos_id", "max_source_tokens"))
        sources = [[*ids[: most - 1], eos] for ids in self.source.encode(list(map(_clean, sentences)))]
        source_ids = np.array([ids + [pad] * (max(map(len, sources)) - len(ids)) for ids in sources])
        names = [tensor.name for tensor in self.decoder.get_inputs() if tensor.name != "token_ids"]
        states = [name for name in names if name.startswith("state.")]
        inputs = dict(zip(names, self.encoder.run(names, {"source_ids": source_ids}), strict=True))
        inputs["token_ids"] = np.full(len(sources), bos)
        written = [[eos] if ids == [eos] else [] for ids in sources]
        lengths = [int(self.config["max_length_ratio"] * len(ids)) + self.config["extra_length"] for ids in sources]
        limits = np.minimum(lengths, self.config["max_target_tokens"]).tolist()
        while any(len(ids) < limit and eos not in ids for ids, limit in zip(written, limits, strict=True)):
            logits, *after = self.decoder.run(["logits", *(f"new_{name}" for name in states)], inputs)
            logits[:, [pad, bos]] = -np.inf
            inputs |= dict(zip(states, after, strict=True)) | {"token_ids": logits.argmax(axis=-1)}
            written = [[*ids, token_id] for ids, token_id in zip(written, inputs["token_ids"].tolist(), strict=True)]
        finished = [ids[: min(limit, [*ids, eos].index(eos))] for ids, limit in zip(written, limits, strict=True)]
        return [_clean(text) for text in self.target.decode(finished)]


if __name__ == "__main__":
    translator = Translator(Path(__file__).parent)
    for line in sys.stdin:
        print(*translator.translate([line]), flush=True)
