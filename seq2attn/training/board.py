"""TensorBoard: what a run shows of itself, in one folder without sub-runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard import SummaryWriter

from seq2attn.config.schema import Config
from seq2attn.config.settings import all_hyperparameters, hyperparameters
from seq2attn.data.subwords import Side, Subwords
from seq2attn.models.embedding import ScaledEmbedding
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.training.validation import BLEU_BY_LENGTH, FINAL_FIGURES

Pixels = NDArray[np.uint8]
"""`(height, width, 3)`"""

# What belongs on one plot; the names of the lines are regular expressions.
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

# The columns that TensorBoard's table of runs shows first; the others can be chosen.
_FIRST_COLUMNS = ("model.kind", "model.attention", "model.d_model", "model.n_layers", "train.learning_rate")

# A browser can turn so many, and each takes a kilobyte or two on the disk.
_MOST_SUBWORDS = 2_000
_DECIMALS = 4
_SPECIAL = re.compile(r"<.+>")


class Board:
    """Writes a run's event files. What is written is on the disk when a method returns.

    A resumed run goes on after update `first_step`; readers then pass over what an earlier part wrote of later ones.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def begin(self, config: Config) -> None:
        """Write the hyper-parameters, and which figures share a plot."""
        self._writer.add_custom_scalars(_LAYOUT)
        columns = [_column(name, value) for name, value in all_hyperparameters(config).items()]
        figures = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in FINAL_FIGURES]
        experiment = api_pb2.Experiment(hparam_infos=columns, metric_infos=figures)
        self._add_to_table(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))
        start = SessionStartInfo()
        for name, value in hyperparameters(config).items():
            setattr(start.hparams[name], "string_value" if isinstance(value, str) else "number_value", value)
        self._add_to_table(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))
        self._writer.flush()

    def figures(self, step: int, figures: Mapping[str, float]) -> None:
        """Write `figures` of update `step`."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def text(self, step: int, name: str, markdown: str) -> None:
        """Write a text."""
        self._writer.add_text(name, markdown, step)
        self._writer.flush()

    def picture(self, step: int, name: str, pixels: Pixels) -> None:
        """Write a picture."""
        self._writer.add_image(name, pixels, step, dataformats="HWC")
        self._writer.flush()

    def histograms(self, step: int, model: Seq2Seq) -> None:
        """Write a histogram of each weight matrix and vector."""
        for name, weights in model.named_parameters():
            self._writer.add_histogram(f"weights/{name}", weights, step)
        self._writer.flush()

    def end(self, model: Seq2Seq, subwords: Subwords) -> None:
        """Write that the run came to its end, and the vectors of its subwords for the projector."""
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
        """Close the files."""
        self._writer.close()

    def _add_to_table(self, tag: str, content: HParamsPluginData) -> None:
        """Write a part of TensorBoard's table of runs; the writer's own `add_hparams` makes a sub-run for it."""
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
        self._writer._get_file_writer().add_summary(Summary(value=[value]))

    def _project(self, name: str, embedding: ScaledEmbedding, subwords: Subwords, side: Side) -> None:
        """Write the vectors of the first subwords, which are the most frequent ones; special ones and bytes apart."""
        pieces = subwords.pieces(range(len(embedding.weight)), side)
        shown = [row for row, piece in enumerate(pieces) if not _SPECIAL.fullmatch(piece)][:_MOST_SUBWORDS]
        # Rounded as float64, because a float32 that was rounded has ten more digits when it is written out.
        vectors = embedding.weight[shown].detach().double().cpu().numpy().round(_DECIMALS)
        self._writer.add_embedding(vectors, [pieces[row] for row in shown], tag=name)


def _column(name: str, value: float | str) -> api_pb2.HParamInfo:
    kind = api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64
    # What differs between runs comes first, and a run knows of no other: these are said to.
    return api_pb2.HParamInfo(name=name, type=kind, differs=name in _FIRST_COLUMNS)
