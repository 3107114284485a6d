"""What can be looked at after a validation: BLEU by length, where the model looks, translations, weights."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seq2attn.attention.figure import Panel as MapPanel
from seq2attn.attention.figure import maps_figure
from seq2attn.attention.maps import AttentionMap, Choice
from seq2attn.attention.read import read_attention
from seq2attn.config.schema import Config
from seq2attn.data.subwords import EOS_ID
from seq2attn.evaluation.measure import MeasureSettings, measure_tables
from seq2attn.evaluation.resampling import StatisticsTable
from seq2attn.evaluation.summary import EvaluatedText, Summary, SystemFacts
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.report.figure import length_curve_figure
from seq2attn.report.markdown import Table, to_markdown
from seq2attn.style import house_style
from seq2attn.training.board import Board, Pixels
from seq2attn.training.validation import BLEU_BY_LENGTH, ValidationResult, Validator

# Of the training's time: what would take more is left out, the last pictures of a validation first.
_SHARE_OF_TIME = 0.01
_TEXTS = 5
_MAPS = 3
_MOST_MAP_SUBWORDS = 25  # on either side, or a map is neither small nor quick
_DPI = 80


class Pictures:
    """Shows on a board what the validations of a training found."""

    def __init__(self, validator: Validator, config: Config) -> None:
        self.validator = validator
        self.config = config
        self._seconds_spent = 0.0
        self._maps: dict[int, FigureCanvasAgg] = {}
        pairs = validator.text.validation
        places = sorted(range(len(validator.rows)), key=lambda place: pairs.source_lengths[validator.rows[place]])
        self._told = _spread(places, _TEXTS)
        short = [
            place
            for place in places
            if max(lengths[validator.rows[place]] for lengths in (pairs.source_lengths, pairs.target_lengths))
            <= _MOST_MAP_SUBWORDS
        ]
        self._mapped = _spread(short, _MAPS)

    def show(self, board: Board, step: int, training_seconds: float, model: Seq2Seq, result: ValidationResult) -> None:
        """Show `result` of update `step`; `model`, which it is of, is left in the mode that it was in.

        Pictures are left out where they would take more than their share of `training_seconds`.
        """
        if result.translations:
            board.text(step, "translations", self._translations(result))
        if self.config.train.histograms:
            board.histograms(step, model)
        pictures = self._pictures(model, result)
        while self._seconds_spent <= _SHARE_OF_TIME * training_seconds:
            started = time.monotonic()
            if (picture := next(pictures, None)) is None:
                return
            board.picture(step, *picture)
            self._seconds_spent += time.monotonic() - started

    def _pictures(self, model: Seq2Seq, result: ValidationResult) -> Iterator[tuple[str, Pixels]]:
        if result.by_length:
            yield BLEU_BY_LENGTH, _pixels(FigureCanvasAgg(self._length_curve(result)))
        for number, place in enumerate(self._mapped, start=1):
            if (one := self._attention(model, place)) is not None:
                yield f"attention/{number}", self._map_pixels(place, one)

    def _translations(self, result: ValidationResult) -> str:
        """Some sentences, short ones first, as a Markdown table."""
        sides = (self.validator.sources, self.validator.references, result.translations)
        rows = tuple(tuple(side[place] for side in sides) for place in self._told)
        return to_markdown([Table(("source", "reference", "translation"), rows, numeric=False)])

    def _length_curve(self, result: ValidationResult) -> Figure:
        validator, name = self.validator, str(self.config.name)
        assert result.statistics is not None
        settings = MeasureSettings(binning=validator.bins, bleu=validator.bleu)
        table = StatisticsTable(validator.bleu, [result.statistics])
        text = EvaluatedText(validator.text.corpus.name, "validation", "source", validator.length_unit)
        measurement = measure_tables([name], [table], validator.lengths, settings)
        summary = Summary.of(measurement, settings, text, [SystemFacts([name])])
        with house_style():
            return length_curve_figure(summary)

    def _attention(self, model: Seq2Seq, place: int) -> AttentionMap | None:
        """Where `model` looks while it is fed the reference, so that the words stay and only the weights change.

        None where there is no attention.
        """
        validator = self.validator
        pairs, row = validator.text.validation, validator.rows[place]
        was_training = model.training
        model.eval()
        (found,) = read_attention(
            model, validator.text.subwords, [pairs.source(row)], [np.append(pairs.target(row), EOS_ID)]
        )
        model.train(was_training)
        return found.map(Choice(), as_subwords=False)

    def _map_pixels(self, place: int, one: AttentionMap) -> Pixels:
        """The picture of a map. To lay out the words takes longer than all else, and is done once."""
        if place not in self._maps:
            figure, _ = maps_figure([MapPanel(one.title, one)], self.validator.sources[place])
            self._maps[place] = FigureCanvasAgg(figure)
            return _pixels(self._maps[place])
        figure = self._maps[place].figure
        figure.set_layout_engine("none")
        figure.axes[0].images[0].set_data(one.weights)
        return _pixels(self._maps[place])


def _spread(places: Sequence[int], count: int) -> list[int]:
    """At most `count` of `places`, evenly spread, the first and the last among them."""
    if len(places) <= count:
        return list(places)
    return [places[round(index * (len(places) - 1) / (count - 1))] for index in range(count)]


def _pixels(canvas: FigureCanvasAgg) -> Pixels:
    """What is on `canvas`."""
    canvas.figure.set_dpi(_DPI)
    with house_style():
        canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
