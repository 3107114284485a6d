"""Rounds of torchlingo: its training loop over the batches, with its loss and clipping.

Only its public interface is used. Fused attention and projections are switched on; the three embedding tables are tied
here. Its beam search takes one sentence at a time, so there is no round of translation. Its LSTM, whose context does
not reach the cell, is another model than seq2attn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import torch
from torch.utils.data import DataLoader
from torchlingo.config import Config
from torchlingo.models import SimpleTransformer
from torchlingo.training import train_model

from scripts.peers.serving import Assignment, Tool, TrainingBatch, padded, serve

_MAX_POSITIONS = 512


def build(assignment: Assignment, _: Sequence[str]) -> Tool:
    """The tool, with one model that trains."""
    torch.set_num_threads(assignment.threads)
    settings = assignment.config["train"]
    config = _config(assignment)
    torch.manual_seed(settings["seed"])
    model = SimpleTransformer(len(assignment.pieces), len(assignment.pieces), config=config)
    if assignment.config["model"]["tie_embeddings"]:
        model.src_tok_emb.weight = model.tgt_tok_emb.weight = model.generator.weight
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings["learning_rate"],
        betas=(0.9, settings["beta2"]),
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    # Otherwise its learning rate would warm up from zero in every round.
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    loader = DataLoader([_tensors(assignment, batch) for batch in assignment.training], batch_size=None)

    def train() -> int:
        train_model(
            model,
            loader,
            num_epochs=1,
            optimizer=optimizer,
            scheduler=constant,
            gradient_clip=settings["clip_norm"],
            device=torch.device("cpu"),
            config=config,
        )
        return sum(batch.tokens for batch in assignment.training)

    versions = {"torchlingo": version("torchlingo"), "torch": torch.__version__}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Tool(versions, parameters, {"training": train})


def _config(assignment: Assignment) -> Config:
    settings = assignment.config["model"]
    return Config(
        d_model=settings["d_model"],
        n_heads=settings["n_heads"],
        num_encoder_layers=settings["n_layers"],
        num_decoder_layers=settings["n_layers"],
        d_ff=settings["d_ff"],
        dropout=settings["dropout"],
        norm_first=settings["norm"] == "pre",
        max_seq_length=_MAX_POSITIONS,
        use_packed_projection=True,
        use_scaled_dot_product_attention=True,
        label_smoothing=assignment.config["train"]["label_smoothing"],
        pad_idx=assignment.pad_id,
        unk_idx=assignment.unk_id,
        sos_idx=assignment.bos_id,
        eos_idx=assignment.eos_id,
    )


def _tensors(assignment: Assignment, batch: TrainingBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Source and target as its loader gives them: the target begins with BOS and ends with EOS."""
    targets = [[assignment.bos_id, *target, assignment.eos_id] for target in batch.targets]
    return tuple(torch.tensor(padded(rows, assignment.pad_id)) for rows in (batch.sources, targets))


if __name__ == "__main__":
    serve(build)
