"""What the formats share: a new folder, positions as a table, a bias against tokens never written, the score's scale"""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from seq2attn.data.subwords import BOS_ID, PAD_ID
from seq2attn.errors import RunError
from seq2attn.models.attention import MultiHeadAttention
from seq2attn.models.transformer import TransformerSeq2Seq

# The logit of a token that is never written: probability 0 in float32, and still a number in float16.
_NEVER = -1e4


def require_new(folder: Path) -> None:
    """Raises: RunError where `folder` exists."""
    if folder.exists():
        raise RunError(f"{folder}: already exists; name a new folder, or delete it")


def position_table(model: TransformerSeq2Seq, length: int) -> Tensor:
    """(length, d_model) vectors added to the embeddings at each position; zeros without absolute positions."""
    table: Tensor = model.positions(model.output_weight.new_zeros(1, length, model.output_weight.shape[1]))
    return table[0].contiguous()


def output_bias(model: TransformerSeq2Seq) -> Tensor:
    """(vocab_size,) the bias of the logits, against PAD and BOS, which search never writes."""
    bias = model.output_bias.detach().clone()
    bias[[PAD_ID, BOS_ID]] = _NEVER
    return bias


def query_factor(attention: MultiHeadAttention) -> float:
    """The factor of queries that cancels another program's division of every score by √d_head; 1 where ours divides."""
    d_head = attention.query_projection.out_features // attention.n_heads
    return math.sqrt(d_head) if attention.scale == 1.0 else 1.0
