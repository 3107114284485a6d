"""Rounds of JoeyNMT: the step of its training loop, with its loss, optimizer and clipping, and its beam search.

What differs from seq2attn's model of the same sizes: attention looks from the state after the cell, the context
reaches the cell inside the last attentional vector (input feeding), cell and hidden state of an LSTM start alike, and
there is no output bias. Its transformer drops out attention weights and inside feed-forward layers as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import torch
from joeynmt.batch import Batch
from joeynmt.builders import build_gradient_clipper, build_optimizer
from joeynmt.model import Model, build_model
from joeynmt.search import search
from joeynmt.training import TrainManager
from joeynmt.vocabulary import Vocabulary

from scripts.peers.serving import Assignment, Tool, TrainingBatch, padded, serve

# Fixed places in its vocabularies.
_UNK, _PAD, _BOS, _EOS = range(4)
_FLOAT32 = {"device_type": "cpu", "enabled": False}


def build(assignment: Assignment, _: Sequence[str]) -> Tool:
    """The tool, with one model for both works."""
    torch.set_num_threads(assignment.threads)
    settings, decode = assignment.config["train"], assignment.config["decode"]
    torch.manual_seed(settings["seed"])
    model = _model(assignment)
    step = _step(model, settings)
    training, ungrouped = (
        [(_batch(assignment, batch.sources, batch.targets), batch) for batch in batches]
        for batches in (assignment.training, assignment.ungrouped)
    )
    decoding = [(_batch(assignment, batch.sources, None), batch) for batch in assignment.decoding]

    def train(batches: Sequence[tuple[Batch, TrainingBatch]]) -> int:
        for batch, _ in batches:
            step(batch)
        return sum(given.tokens for _, given in batches)

    def translate() -> int:
        model.eval()
        for batch, asked in decoding:
            found, _, _ = search(
                model,
                batch,
                max_output_length=asked.steps,
                min_output_length=asked.steps,
                beam_size=decode["beam_size"],
                beam_alpha=decode["length_penalty"],
            )
            assert found.shape == (len(asked.sources), asked.steps)
        return sum(batch.tokens for batch in assignment.decoding)

    versions = {"joeynmt": version("joeynmt"), "torch": torch.__version__}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # Its sampler by tokens fills batches in random order.
    works = {
        "training": partial(train, training),
        "training, own batches": partial(train, ungrouped),
        "beam": translate,
    }
    return Tool(versions, parameters, works)


def _step(model: Model, settings: dict[str, Any]) -> Any:
    """One update, as its training loop makes it from one batch."""
    clip = build_gradient_clipper({"clip_grad_val": None, "clip_grad_norm": settings["clip_norm"]})
    optimizer = build_optimizer(
        {
            "optimizer": "adamw",
            "learning_rate": settings["learning_rate"],
            "weight_decay": settings["weight_decay"],
            "adam_betas": (0.9, settings["beta2"]),
        },
        model.parameters(),
    )
    # Its step asks nothing else of the object that holds data, logs and checkpoints around it.
    loop = SimpleNamespace(
        model=model,
        autocast=_FLOAT32,
        args=SimpleNamespace(normalization="tokens", batch_multiplier=1),
        n_gpu=0,
        scaler=None,
    )

    def step(batch: Batch) -> None:
        TrainManager._train_step(loop, batch)
        clip(parameters=model.parameters())
        optimizer.step()
        model.zero_grad()

    return step


def _model(assignment: Assignment) -> Model:
    special = SimpleNamespace(
        **{"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "sep_token": None},
        **{"unk_id": _UNK, "pad_id": _PAD, "bos_id": _BOS, "eos_id": _EOS, "lang_tags": []},
    )
    vocabulary = Vocabulary(assignment.pieces[4:], special)
    assert len(vocabulary) == len(assignment.pieces)
    settings = assignment.config["model"]
    encoder, decoder = _recurrent(settings) if settings["kind"] == "rnn" else [_transformer(settings)] * 2
    config = {
        "encoder": encoder,
        "decoder": decoder,
        "tied_embeddings": settings["tie_embeddings"],
        "tied_softmax": settings["tie_embeddings"],
    }
    model = build_model(config, vocabulary, vocabulary)
    model.loss_function = ("crossentropy", assignment.config["train"]["label_smoothing"])
    return model


def _recurrent(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Encoder and decoder."""
    common = {
        "type": "recurrent",
        "rnn_type": settings["cell"],
        "embeddings": {"embedding_dim": settings["d_model"], "scale": True},
        "num_layers": settings["n_layers"],
        "dropout": settings["dropout"],
    }
    encoder = {"hidden_size": settings["d_model"] // 2, "bidirectional": True}
    decoder = {
        "hidden_size": settings["d_model"],
        "hidden_dropout": settings["dropout"],
        "attention": {"additive": "bahdanau"}[settings["attention"]],
        "init_hidden": "bridge",
        "input_feeding": True,
    }
    return common | encoder, common | decoder


def _transformer(settings: dict[str, Any]) -> dict[str, Any]:
    """Either side."""
    return {
        "type": "transformer",
        "embeddings": {"embedding_dim": settings["d_model"], "scale": True},
        "hidden_size": settings["d_model"],
        "ff_size": settings["d_ff"],
        "num_layers": settings["n_layers"],
        "num_heads": settings["n_heads"],
        "dropout": settings["dropout"],
        "layer_norm": settings["norm"],
    }


def _batch(assignment: Assignment, sources: list[list[int]], targets: list[list[int]] | None) -> Batch:
    """Its own kind of batch, in its own ids, sorted as its recurrent encoder wants it."""
    renumbered = {assignment.unk_id: _UNK, assignment.pad_id: _PAD, assignment.bos_id: _BOS, assignment.eos_id: _EOS}

    def tensor(rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor(padded([[renumbered.get(token_id, token_id) for token_id in row] for row in rows], _PAD))

    whole = None
    if targets is not None:
        whole = tensor([[assignment.bos_id, *target, assignment.eos_id] for target in targets])
    batch = Batch(
        src=tensor(sources),
        src_length=torch.tensor([len(source) for source in sources]),
        src_prompt_mask=None,
        trg=whole,
        trg_prompt_mask=None,
        indices=torch.arange(len(sources)),
        device=torch.device("cpu"),
        pad_index=_PAD,
        eos_index=_EOS,
        is_train=targets is not None,
    )
    batch.sort_by_src_length()
    return batch


if __name__ == "__main__":
    serve(build)
