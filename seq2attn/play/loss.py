"""What weights in few bits cost: BLEU of test sentences with those of a page, and with those in 32 bits"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import torch

from seq2attn.corpora.load import load_corpus
from seq2attn.decoding.translate import Translator
from seq2attn.evaluation.metrics import corpus_bleu
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.play.weights import BITS, Precision, as_stored
from seq2attn.runs.folder import TrainedRun

_SEED = 1


@dataclass(frozen=True)
class PrecisionLoss:
    """BLEU of the same test sentences with weights of two precisions."""

    n_sentences: int
    precision: Precision
    bleu: float
    """With the weights as a page stores them."""
    bleu_in_full: float
    """With weights in 32 bits."""

    def __str__(self) -> str:
        measured = (
            f"Weights in {BITS[self.precision]} bits: {self.bleu:.1f} BLEU on {self.n_sentences:,} test sentences"
        )
        return measured if self.precision == "float32" else f"{measured}, {self.bleu_in_full:.1f} in 32 bits"


def measure_loss(run: TrainedRun, precision: Precision, n_sentences: int) -> PrecisionLoss:
    """BLEU of `run` on up to `n_sentences` sentences of its test split, drawn at random, with the search of the run.

    PyTorch translates; the engine of a page gives the same translations with the same weights.

    Raises: as `load_corpus`.
    """
    corpus = load_corpus(run.config.data)
    test = corpus.splits["test"]
    rows = random.Random(_SEED).sample(range(len(test)), min(n_sentences, len(test)))
    sources, references = ([test[side][row] for row in rows] for side in ("source", "target"))

    def bleu(model: Seq2Seq) -> float:
        translations = Translator(model, run.subwords, run.config.decode).translate(sources)
        return corpus_bleu(translations, references, tokenizer_for(corpus.target_language))

    in_full = bleu(run.model)
    stored = in_full if precision == "float32" else bleu(with_stored_weights(run.model, precision))
    return PrecisionLoss(len(rows), precision, stored, in_full)


def with_stored_weights(model: Seq2Seq, precision: Precision) -> Seq2Seq:
    """A copy of `model` with the weights of a page."""
    rounded = copy.deepcopy(model)
    weights = {tensor.data_ptr(): tensor for tensor in rounded.state_dict().values()}  # tied ones once
    for tensor in weights.values():
        tensor.copy_(torch.from_numpy(as_stored(tensor.cpu().numpy(), precision)))
    return rounded
