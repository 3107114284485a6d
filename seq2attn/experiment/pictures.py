"""Pictures of a training: after each validation, BLEU by length, attention maps and translations."""

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
from seq2attn.data.subwords import EOS_ID
from seq2attn.evaluation.measure import MeasureSettings, measure_tables
from seq2attn.evaluation.resampling import StatisticsTable
from seq2attn.models.seq2seq import Seq2Seq
from seq2attn.plots.figure import length_curve_figure
from seq2attn.report.markdown import Table, to_markdown
from seq2attn.results.summary import EvaluatedText, Summary, SystemFacts
from seq2attn.style import house_style
from seq2attn.training.log import Pixels
from seq2attn.training.observer import Validated
from seq2attn.training.validation import BLEU_BY_LENGTH, ValidationResult, Validator

# Of the training time: what would take more is left out, the last pictures of a validation first.
_SHARE_OF_TIME = 0.01
_TEXTS = 5
_MAPS = 3
_MAX_MAP_SUBWORDS = 25  # on either side; a longer sentence makes a large and slow map
_DPI = 80


class Pictures:
    """Observes one training and adds pictures to its log."""

    def __init__(self) -> None:
        self._seconds_spent = 0.0
        self._sentences: _Sentences | None = None

    def validated(self, event: Validated) -> None:
        """Add the translations, and pictures until they take more than their share of the training time."""
        sentences = self._sentences = self._sentences or _Sentences(event.validator)
        if event.result.translations:
            event.log.text(event.step, "translations", sentences.translations(event.result))
        pictures = sentences.pictures(event.model, event.result)
        while self._seconds_spent <= _SHARE_OF_TIME * event.seconds:
            started = time.monotonic()
            if (picture := next(pictures, None)) is None:
                return
            event.log.image(event.step, *picture)
            self._seconds_spent += time.monotonic() - started


class _Sentences:
    """The validation sentences that are shown, the same ones each time."""

    def __init__(self, validator: Validator) -> None:
        self.validator = validator
        self._maps: dict[int, FigureCanvasAgg] = {}
        pairs = validator.text.validation
        places = sorted(range(len(validator.rows)), key=lambda place: pairs.source_lengths[validator.rows[place]])
        self._translated = _spread(places, _TEXTS)
        short = [
            place
            for place in places
            if max(lengths[validator.rows[place]] for lengths in (pairs.source_lengths, pairs.target_lengths))
            <= _MAX_MAP_SUBWORDS
        ]
        self._mapped = _spread(short, _MAPS)

    def pictures(self, model: Seq2Seq, result: ValidationResult) -> Iterator[tuple[str, Pixels]]:
        """Name and pixels of each picture, drawn when it is asked for; `model` keeps its mode."""
        if result.by_length:
            yield BLEU_BY_LENGTH, _pixels(FigureCanvasAgg(self._length_curve(result)))
        for number, place in enumerate(self._mapped, start=1):
            if (attention := self._attention(model, place)) is not None:
                yield f"attention/{number}", self._map_pixels(place, attention)

    def translations(self, result: ValidationResult) -> str:
        """Some sentences, short ones first, as a Markdown table."""
        sides = (self.validator.sources, self.validator.references, result.translations)
        rows = tuple(tuple(side[place] for side in sides) for place in self._translated)
        return to_markdown([Table(("source", "reference", "translation"), rows, numeric=False)])

    def _length_curve(self, result: ValidationResult) -> Figure:
        validator, name = self.validator, str(self.validator.config.name)
        assert result.statistics is not None
        settings = MeasureSettings(binning=validator.bins, bleu=validator.bleu)
        table = StatisticsTable(validator.bleu, [result.statistics])
        text = EvaluatedText(validator.text.corpus.name, "validation", "source", validator.length_unit)
        measurement = measure_tables([name], [table], validator.lengths, settings)
        summary = Summary.of(measurement, settings, text, [SystemFacts([name])])
        with house_style():
            return length_curve_figure(summary)

    def _attention(self, model: Seq2Seq, place: int) -> AttentionMap | None:
        """The attention of `model` while it is fed the reference, so that only the weights change and not the words.

        None where the model has no attention.
        """
        validator = self.validator
        pairs, row = validator.text.validation, validator.rows[place]
        was_training = model.training
        model.eval()
        (attention,) = read_attention(
            model, validator.text.subwords, [pairs.source(row)], [np.append(pairs.target(row), EOS_ID)]
        )
        model.train(was_training)
        return attention.map(Choice(), as_subwords=False)

    def _map_pixels(self, place: int, attention: AttentionMap) -> Pixels:
        """The picture of a map. Laying out its words takes longest and is done once."""
        if place not in self._maps:
            figure, _ = maps_figure([MapPanel(attention.title, attention)], self.validator.sources[place])
            self._maps[place] = FigureCanvasAgg(figure)
            return _pixels(self._maps[place])
        figure = self._maps[place].figure
        figure.set_layout_engine("none")
        figure.axes[0].images[0].set_data(attention.weights)
        return _pixels(self._maps[place])


def _spread(places: Sequence[int], count: int) -> list[int]:
    """At most `count` of `places`, evenly spread, the first and the last among them."""
    if len(places) <= count:
        return list(places)
    return [places[round(index * (len(places) - 1) / (count - 1))] for index in range(count)]


def _pixels(canvas: FigureCanvasAgg) -> Pixels:
    """The pixels of `canvas`."""
    canvas.figure.set_dpi(_DPI)
    with house_style():
        canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
