"""Build a model from its configuration."""

from __future__ import annotations

import torch

from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.device import environment_default
from seq2attn.models.embedding import Embeddings
from seq2attn.models.rnn import RnnSeq2Seq
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.models.transformer import TransformerSeq2Seq

ONEDNN_CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
"""The variable with the number of kernels that oneDNN keeps."""
_FEW_KERNELS = "16"


def build_model(config: ModelConfig, source_vocab_size: int, target_vocab_size: int, joint_subwords: bool) -> Seq2Seq:
    """A new model with random weights from torch's global generator."""
    _limit_kernel_cache()
    embeddings = Embeddings(source_vocab_size, target_vocab_size, config.d_model, config.tie_embeddings, joint_subwords)
    match config:
        case RnnConfig():
            return RnnSeq2Seq(config, embeddings)
        case TransformerConfig():
            return TransformerSeq2Seq(config, embeddings)


def _limit_kernel_cache() -> None:
    """Make oneDNN keep 16 kernels, unless the environment says another number or it has run in this process already.

    oneDNN runs LSTM layers on a CPU and keeps a kernel with its working memory for each of the last 1,024 shapes.
    Batches come in that many shapes, and the process would grow to 3 GB; building a kernel again takes no measurable
    time. oneDNN reads the number once, before its first kernel, so the environment is changed only for that moment.
    """
    if torch.backends.mkldnn.is_available():
        with environment_default(ONEDNN_CAPACITY, _FEW_KERNELS):
            torch.ones(1, 1, dtype=torch.float32, device="cpu").to_mkldnn()
