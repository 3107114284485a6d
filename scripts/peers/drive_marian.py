"""Rounds of Marian in Hugging Face transformers: forward pass, loss and update as its Trainer has them, and generate.

What differs from seq2attn's transformer of the same sizes: norms come after the sub-layers, as Marian has them, and
there is no output bias that learns. As in every published Marian, padding is the last id of the vocabulary and starts
the decoder; so there is one more id than seq2attn has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import transformers
from transformers.trainer_pt_utils import LabelSmoother

from scripts.peers.serving import Assignment, Tool, TrainingBatch, padded, serve

_IGNORED = -100  # where labels are padding
_Inputs = dict[str, torch.Tensor]


def build(assignment: Assignment, _: Sequence[str]) -> Tool:
    """The tool, with one model for both works."""
    torch.set_num_threads(assignment.threads)
    settings, decode = assignment.config["train"], assignment.config["decode"]
    model = build_marian(assignment)
    smooth = LabelSmoother(epsilon=settings["label_smoothing"])
    # The Trainer's default optimizer.
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings["learning_rate"],
        betas=(0.9, settings["beta2"]),
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    training = [_training_inputs(model, batch, assignment.eos_id) for batch in assignment.training]
    decoding = [(_source_inputs(model, batch.sources), batch) for batch in assignment.decoding]

    def train() -> int:
        model.train()
        for inputs, labels in training:
            smooth(model(**inputs, use_cache=False), labels).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"])
            optimizer.step()
            model.zero_grad()
        return sum(batch.tokens for batch in assignment.training)

    def translate() -> int:
        model.eval()
        for inputs, asked in decoding:
            found = model.generate(
                **inputs,
                num_beams=decode["beam_size"],
                length_penalty=decode["length_penalty"],
                do_sample=False,
                min_new_tokens=asked.steps,
                max_new_tokens=asked.steps,
            )
            assert found.shape == (len(asked.sources), 1 + asked.steps)
        return sum(batch.tokens for batch in assignment.decoding)

    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return Tool(versions, parameters, {"training": train, "beam": translate})


def build_marian(assignment: Assignment) -> transformers.MarianMTModel:
    """A new model with random weights."""
    settings = assignment.config["model"]
    sides = ("encoder", "decoder")
    pad_id = len(assignment.pieces)
    torch.manual_seed(assignment.config["train"]["seed"])
    return transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=pad_id + 1,
            d_model=settings["d_model"],
            **{f"{side}_layers": settings["n_layers"] for side in sides},
            **{f"{side}_attention_heads": settings["n_heads"] for side in sides},
            **{f"{side}_ffn_dim": settings["d_ff"] for side in sides},
            activation_function="relu",
            dropout=settings["dropout"],
            scale_embedding=True,
            tie_word_embeddings=settings["tie_embeddings"],
            pad_token_id=pad_id,
            decoder_start_token_id=pad_id,
            eos_token_id=assignment.eos_id,
            forced_eos_token_id=None,
        )
    )


def _training_inputs(
    model: transformers.MarianMTModel, batch: TrainingBatch, eos_id: int
) -> tuple[_Inputs, torch.Tensor]:
    """What goes into the model, and the labels."""
    labels = torch.tensor(padded([[*target, eos_id] for target in batch.targets], _IGNORED))
    shifted = model.prepare_decoder_input_ids_from_labels(labels)
    return _source_inputs(model, batch.sources) | {"decoder_input_ids": shifted}, labels


def _source_inputs(model: transformers.MarianMTModel, sources: list[list[int]]) -> _Inputs:
    ids = torch.tensor(padded(sources, model.config.pad_token_id))
    return {"input_ids": ids, "attention_mask": (ids != model.config.pad_token_id).long()}


if __name__ == "__main__":
    serve(build)
