"""The TensorBoard back end: event files of one run in one folder, without sub-runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from seq2attn.config.schema import Config
from seq2attn.config.settings import all_hyperparameters, hyperparameters
from seq2attn.data.subwords import Side, Subwords
from seq2attn.models.embedding import ScaledEmbedding
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.log import Backend, Pixels
from seq2attn.training.process import without_tensorflow
from seq2attn.training.validation import BLEU_BY_LENGTH, FINAL_METRICS

with without_tensorflow():
    from torch.utils.tensorboard import SummaryWriter

# Metrics that share a plot, as regular expressions.
_LAYOUT = {
    "Training and validation": {
        "loss (in training with label smoothing and dropout)": ["Multiline", ["^loss/(train|validation)$"]],
        "perplexity (in training with dropout)": ["Multiline", ["^perplexity/(train|validation)$"]],
    },
    "Translations of validation sentences": {
        "BLEU by source length": ["Multiline", [f"^{BLEU_BY_LENGTH}/"]],
        "BLEU and chrF": ["Multiline", ["^(bleu|chrf)/validation$"]],
    },
}

# The columns that TensorBoard's table of runs shows at first; the others can be selected.
_FIRST_COLUMNS = ("model.kind", "model.attention", "model.d_model", "model.n_layers", "train.learning_rate")

# As many as a browser can rotate; each takes one or two kilobytes on disk.
_MAX_SUBWORDS = 2_000
_DECIMALS = 4
_SPECIAL = re.compile(r"<.+>")


class Board(Backend):
    """Writes event files. What is written is on disk when a method returns.

    Where a run resumes after update `first_step`, TensorBoard skips what the interrupted part wrote on later updates.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def begin(self, config: Config) -> None:
        """Write the hyper-parameters, and which metrics share a plot."""
        self._writer.add_custom_scalars(_LAYOUT)
        columns = [_column(name, value) for name, value in all_hyperparameters(config).items()]
        metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in FINAL_METRICS]
        experiment = api_pb2.Experiment(hparam_infos=columns, metric_infos=metrics)
        self._add_to_table(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))
        start = SessionStartInfo()
        for name, value in hyperparameters(config).items():
            setattr(start.hparams[name], "string_value" if isinstance(value, str) else "number_value", value)
        self._add_to_table(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))
        self._writer.flush()

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write a scalar for each metric."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def text(self, step: int, name: str, markdown: str) -> None:
        """Write a text."""
        self._writer.add_text(name, markdown, step)
        self._writer.flush()

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        """Write an image."""
        self._writer.add_image(name, pixels, step, dataformats="HWC")
        self._writer.flush()

    def histograms(self, step: int, model: Seq2Seq) -> None:
        """Write a histogram of each weight matrix and vector."""
        for name, weights in model.named_parameters():
            self._writer.add_histogram(f"weights/{name}", weights, step)
        self._writer.flush()

    def end(self, model: Seq2Seq, subwords: Subwords) -> None:
        """Write that the run succeeded, and the embeddings of its subwords for the projector."""
        end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
        self._add_to_table(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))
        self._writer.flush()
        embeddings = model.embeddings
        if embeddings.source is embeddings.target:
            self._project("subwords", embeddings.source, subwords, "source")
        else:
            self._project("source subwords", embeddings.source, subwords, "source")
            self._project("target subwords", embeddings.target, subwords, "target")

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()

    def _add_to_table(self, tag: str, content: HParamsPluginData) -> None:
        """Write a part of TensorBoard's table of runs; `SummaryWriter.add_hparams` would make a sub-run for it."""
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
        self._writer._get_file_writer().add_summary(Summary(value=[value]))

    def _project(self, name: str, embedding: ScaledEmbedding, subwords: Subwords, side: Side) -> None:
        """Write the embeddings of the first subwords, the most frequent ones, without special tokens and bytes."""
        pieces = subwords.pieces(range(len(embedding.weight)), side)
        shown = [row for row, piece in enumerate(pieces) if not _SPECIAL.fullmatch(piece)][:_MAX_SUBWORDS]
        # Rounded as float64: a rounded float32 is printed with ten more digits.
        vectors = embedding.weight[shown].detach().double().cpu().numpy().round(_DECIMALS)
        self._writer.add_embedding(vectors, [pieces[row] for row in shown], tag=name)


def _column(name: str, value: float | str) -> api_pb2.HParamInfo:
    kind = api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64
    # TensorBoard shows first what differs between runs. A run knows no other run, so these are marked as differing.
    return api_pb2.HParamInfo(name=name, type=kind, differs=name in _FIRST_COLUMNS)
