"""The public Python interface: what scoring returns, and in `scores` and `runs` the functions that return it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2attn.errors import ConfigError, DataError
from seq2attn.evaluation.lengths import Range
from seq2attn.report.markdown import Table
from seq2attn.results.summary import Summary

if TYPE_CHECKING:
    from seq2attn.experiment.evaluate import Evaluation
    from seq2attn.style import InlineFigure


@dataclass(frozen=True)
class ScoreRow:
    """The score of one system under one metric, on the sentences of one range of length or on all."""

    system: str
    metric: str
    length: str
    """Such as `10–19`; `all` for all sentences."""
    n: int
    """Sentences."""
    value: float | None
    """None where there are no sentences."""
    low: float | None
    """The 95 % interval; None where fewer than 30 sentences cannot bear one."""
    high: float | None
    std: float | None = None
    """Standard deviation over the outputs of a system that has several; the value is their mean."""

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        interval = "n too small" if self.low is None or self.high is None else f"{self.low:.1f}–{self.high:.1f}"
        return f"{self.value:.1f} ({interval})" + ("" if self.std is None else f" ±{self.std:.1f}")


@dataclass(frozen=True, repr=False)
class ScoreResult:
    """Scores by sentence length, with 95 % intervals. A notebook shows the table and the curve.

    >>> references = ["the cat sat on the mat", "a dog barked"] * 20
    >>> result = score({"ours": references, "theirs": ["the cat sat"] * 40}, references, bins=[0, 5])
    >>> round(result.value(system="ours"), 1)
    100.0
    >>> [row.length for row in result.rows() if row.system == "theirs"]
    ['0–4', '5+', 'all']
    """

    summary: Summary

    @property
    def systems(self) -> list[str]:
        """The names of the systems, in order."""
        return [system.name for system in self.summary.systems]

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, BLEU first."""
        return list(dict.fromkeys(row.metric for row in self.rows()))

    @property
    def signatures(self) -> dict[str, str]:
        """SacreBLEU's signature of each metric, to be quoted with the scores."""
        return {"BLEU": self.summary.signature, **self.summary.signatures}

    def rows(self) -> list[ScoreRow]:
        """Every score as a record: `pandas.DataFrame(result.rows())` is a data frame of them."""
        return [row for system in self.to_dict()["systems"] for row in _rows_of(system)]

    def overall(self, metric: str = "BLEU", system: str | None = None) -> ScoreRow:
        """The score on all sentences with its interval; `system` may be left out where there is one.

        Raises: ConfigError for an unknown metric or system.
        """
        if system is None and len(self.systems) > 1:
            raise ConfigError(f"system: name one of {', '.join(self.systems)}")
        chosen = choose("system", system or self.systems[0], self.systems)
        name = self._metric(metric)
        (found,) = (r for r in self.rows() if (r.system, r.metric, r.length) == (chosen, name, "all"))
        return found

    def value(self, metric: str = "BLEU", system: str | None = None) -> float | None:
        """The score on all sentences as a number, equal to sacreBLEU's; None where there are no sentences."""
        return self.overall(metric, system).value

    def table(self, metric: str = "BLEU") -> Table:
        """The scores with their intervals: a row for each range of length, a column for each system.

        Raises: ConfigError where the metric was not computed.
        """
        name = self._metric(metric)
        rows = [row for row in self.rows() if row.metric == name]
        by_length: dict[str, list[ScoreRow]] = {}
        for row in rows:
            by_length.setdefault(row.length, []).append(row)
        header = (f"{self.summary.length_of} {self.summary.length_unit}", "sentences", *self.systems)
        return Table(header, tuple((length, f"{of[0].n:,}", *map(str, of)) for length, of in by_length.items()))

    def plot(self) -> InlineFigure:
        """BLEU over sentence length as a matplotlib figure, which pyplot does not know of; `savefig` writes it.

        Raises: ConfigError where the scores are not by length.
        """
        from seq2attn.plots.figure import length_curve_figure
        from seq2attn.style import house_style

        if len(self.summary.systems[0].buckets) < 2:
            raise ConfigError("plot: these scores are not by length; score with by_length=True, or more bins")
        with house_style():
            figure = length_curve_figure(self.summary)
            figure.draw_without_rendering()  # what matplotlib makes when it draws has the style too
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Everything that `summary.json` holds."""
        return dict(json.loads(self.summary.to_json()))

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write `summary.json`, a table for spreadsheets and the figure into `folder`; their paths.

        Raises: RunError where they cannot be written.
        """
        from seq2attn.report.outputs import write_scores

        return write_scores(self.summary, Path(folder))

    def __str__(self) -> str:
        tables = (f"{metric}: {self.summary.text_name}\n{self.table(metric)}" for metric in self.metrics)
        return "\n\n".join([*tables, "\n".join(self.signatures.values())])

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: BLEU {self.overall(system=name)}" for name in self.systems)
        return f"<{type(self).__name__} {shown}>"

    def _repr_html_(self) -> str:
        parts = []
        for metric in self.metrics:
            parts += [
                f"<p><b>{escape(metric)}</b>: {escape(self.summary.text_name)}</p>",
                self.table(metric)._repr_html_(),
            ]
        if len(self.summary.systems[0].buckets) > 1:
            parts.append(self.plot().as_image("BLEU over sentence length"))
        parts += [f"<p><small>{escape(signature)}</small></p>" for signature in self.signatures.values()]
        return f"<div>{''.join(parts)}</div>"

    def _metric(self, name: str) -> str:
        names = {_plain(metric): metric for metric in self.metrics}
        if _plain(name) not in names:
            raise ConfigError(f"metric {name}: expected one of {', '.join(self.metrics)}")
        return names[_plain(name)]


@dataclass(frozen=True, repr=False)
class EvaluationResult(ScoreResult):
    """Scores of runs, with the text behind them."""

    evaluation: Evaluation

    @property
    def sources(self) -> tuple[str, ...]:
        """The sentences that were translated."""
        return self.evaluation.text.sources

    @property
    def references(self) -> tuple[str, ...]:
        """Their reference translations."""
        return self.evaluation.text.references

    @property
    def translations(self) -> dict[str, tuple[str, ...]]:
        """What each run made of them, by the run's name."""
        return dict(self.evaluation.translations)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write figure, tables, the report and the translations into `folder`; their paths.

        Raises: RunError where they cannot be written.
        """
        from seq2attn.experiment.outputs import write_outputs

        return write_outputs(self.evaluation, Path(folder))


def plot_length_curve(results: ScoreResult | str | Path | Iterable[ScoreResult | str | Path]) -> InlineFigure:
    """BLEU over sentence length as a matplotlib figure: of one result, or of several on the same sentences.

    >>> references = ["the cat sat on the mat", "a dog barked"] * 20
    >>> results = [score(references[::step], references, bins=[0, 5], names=f"step {step}") for step in (1, -1)]
    >>> figure = plot_length_curve(results)
    >>> figure.savefig("curve.png")

    Args:
        results: what `score` and `evaluate` return, or `summary.json` files that they or the command line wrote.

    Raises: DataError where a file holds no summary, or results are not on the same sentences.
    """
    several = [results] if isinstance(results, ScoreResult | str | Path) else list(results)
    summaries = [result.summary if isinstance(result, ScoreResult) else _read_summary(result) for result in several]
    if not summaries:
        raise DataError("plot_length_curve: no results; give one or more")
    first, *others = summaries
    for other in others:
        if _sizes(other) != _sizes(first) or other.length_of != first.length_of:
            raise DataError(
                f"{other.systems[0].name}: not scored in the same buckets as {first.systems[0].name}; only results on "
                "the same sentences, with the same bins, can share a curve"
            )
    together = tuple(chain.from_iterable(summary.systems for summary in summaries))
    return ScoreResult(replace(first, systems=together)).plot()


def choose(option: str, value: Any, known: Sequence[Any]) -> Any:
    """`value`, which is one of `known`.

    Raises: ConfigError where it is not.
    """
    if value not in known:
        raise ConfigError(f"{option} {value}: expected one of {', '.join(known)}")
    return value


def _plain(metric: str) -> str:
    """`chrF2++` and `chrf++` are one metric."""
    return metric.lower().replace("chrf2", "chrf")


def _rows_of(system: Mapping[str, Any]) -> list[ScoreRow]:
    """The scores of a system of `summary.json`."""
    buckets = [(Range(bucket["low"], bucket["high"]).label, bucket["n"]) for bucket in system["buckets"]]
    labels = [*(buckets if len(buckets) > 1 else []), ("all", sum(n for _, n in buckets))]
    keys = ("bleu", "bleu_low", "bleu_high", "bleu_spread")
    scores = {"BLEU": [[bucket[key] for key in keys] for bucket in (*system["buckets"], system)]}
    for curve in system["beside"]:
        found = [score or {} for score in (*curve["buckets"], curve["overall"])]
        scores[curve["metric"]] = [[score.get(key) for key in ("value", "low", "high", "spread")] for score in found]
    return [
        ScoreRow(system["name"], metric, label, n, *values)
        for metric, of_metric in scores.items()
        for (label, n), values in zip(labels, of_metric[-len(labels) :], strict=True)
    ]


def _read_summary(path: str | Path) -> Summary:
    file = Path(path) / "summary.json" if Path(path).is_dir() else Path(path)
    try:
        return Summary.from_json(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error}); give a summary.json") from error


def _sizes(summary: Summary) -> list[tuple[int, int | None, int]]:
    return [(bucket.low, bucket.high, bucket.n) for bucket in summary.systems[0].buckets]
