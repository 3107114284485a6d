"""Build a model from its configuration."""

from __future__ import annotations

from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.models.embedding import Embeddings
from seq2attn.models.rnn import RnnSeq2Seq
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.models.transformer import TransformerSeq2Seq


def build_model(config: ModelConfig, source_vocab_size: int, target_vocab_size: int, joint_subwords: bool) -> Seq2Seq:
    """A new model with random weights from torch's global generator."""
    embeddings = Embeddings(source_vocab_size, target_vocab_size, config.d_model, config.tie_embeddings, joint_subwords)
    match config:
        case RnnConfig():
            return RnnSeq2Seq(config, embeddings)
        case TransformerConfig():
            return TransformerSeq2Seq(config, embeddings)
