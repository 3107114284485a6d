"""Reads a model's attention weights for a given translation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from seq2attn.attention.maps import KINDS, SentenceAttention
from seq2attn.attention.words import group_subwords
from seq2attn.data.batch import Ids, collate
from seq2attn.data.subwords import BOS_ID, EOS_ID, Subwords
from seq2attn.models.seq2seq import Seq2Seq


@torch.inference_mode()
def read_attention(
    model: Seq2Seq, subwords: Subwords, sources: Sequence[Ids], written: Sequence[Ids]
) -> list[SentenceAttention]:
    """The attention weights for sentence pairs, computed as one batch with forced targets; `model` in evaluation mode.

    Args:
        sources: ids with EOS at the end.
        written: ids that the model wrote or is forced to write, with EOS at the end unless they were cut off. The row
            of a target token has the weights with which it is written.
    """
    targets = [list(ids[:-1]) if len(ids) and ids[-1] == EOS_ID else list(ids) for ids in written]
    maps = model.attention_maps(collate(sources, targets).to(next(model.parameters()).device))
    layers = {kind: getattr(maps, kind) for kind in KINDS}
    in_numpy = {kind: [tensor.double().cpu().numpy() for tensor in tensors] for kind, tensors in layers.items()}
    found = []
    for index, (source_ids, written_ids) in enumerate(zip(sources, written, strict=True)):
        # At position i the decoder reads the tokens before i.
        read_ids = [BOS_ID, *written_ids[:-1]]
        sizes = {
            "cross": (len(written_ids), len(source_ids)),
            "encoder": (len(source_ids), len(source_ids)),
            "decoder": (len(written_ids), len(read_ids)),
        }
        found.append(
            SentenceAttention(
                group_subwords(subwords.pieces([int(token_id) for token_id in source_ids], "source")),
                group_subwords(subwords.pieces([int(token_id) for token_id in written_ids], "target")),
                group_subwords(subwords.pieces([int(token_id) for token_id in read_ids], "target")),
                {
                    kind: tuple(layer[index, :, : sizes[kind][0], : sizes[kind][1]] for layer in weights)
                    for kind, weights in in_numpy.items()
                    if weights
                },
            )
        )
    return found
