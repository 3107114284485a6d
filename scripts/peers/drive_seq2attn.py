"""Rounds of seq2attn itself, in float32 or as its argument says: its update of the weights, and its beam search."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

import seq2attn
from scripts.peers.serving import Assignment, DecodingBatch, Tool, serve
from seq2attn.config.schema import Config
from seq2attn.config.settings import with_training
from seq2attn.data.batch import collate, pad_sources
from seq2attn.data.subwords import EOS_ID
from seq2attn.decoding.search import Hypothesis, beam_search
from seq2attn.decoding.threads import search_batches
from seq2attn.models.build import build_model
from seq2attn.models.precision import kept_kernels
from seq2attn.models.products import products_in
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.schedule import build_optimizer
from seq2attn.training.update import update_weights

CPU = torch.device("cpu")


def build_own_model(config: Config, vocab_size: int) -> Seq2Seq:
    """A new model, the same weights every time."""
    torch.manual_seed(config.train.seed)
    return build_model(config.model, vocab_size, vocab_size, config.subwords.joint)


def build(assignment: Assignment, precisions: Sequence[str]) -> Tool:
    """The tool, with one model that trains and one that translates; `precisions`: that of both, or none for float32."""
    torch.set_num_threads(assignment.threads)
    precision, *_ = [*precisions, "float32"]
    config = with_training(Config.model_validate(assignment.config), precision=precision)
    trained, translating = (build_own_model(config, len(assignment.pieces)) for _ in range(2))
    # No translation ends before its largest length.
    translating.eval().output_bias.data[EOS_ID] = float("-inf")
    optimizer = build_optimizer(trained.train(), config.train)
    batches = [collate(batch.sources, batch.targets) for batch in assignment.training]

    def train() -> int:
        for batch in batches:
            update_weights(trained, optimizer, [batch], config.train, 1, config.train.learning_rate)
        return sum(batch.tokens for batch in assignment.training)

    def search(batch: DecodingBatch) -> list[list[Hypothesis]]:
        limits = [batch.steps] * len(batch.sources)
        with torch.inference_mode(), products_in(precision, CPU):
            memory = translating.encode(*pad_sources(batch.sources))
            return beam_search(translating, memory, limits, config.decode.beam_size, config.decode.length_penalty)

    def translate() -> int:
        longest_first = assignment.decoding[::-1]  # and as many at once as in `Translator`
        for batch, found in zip(longest_first, search_batches(search, longest_first, CPU), strict=True):
            assert all(len(best[0].token_ids) == batch.steps for best in found)
        return sum(batch.tokens for batch in assignment.decoding)

    versions = {"seq2attn": seq2attn.__version__, "torch": torch.__version__}
    return Tool(
        versions, trained.count_parameters(), {"training": train, "training, own batches": train, "beam": translate}
    )


if __name__ == "__main__":
    with kept_kernels(CPU, *sys.argv[2:]):
        serve(build)
