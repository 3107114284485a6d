"""`weights-and-effects`: is a weight an explanation?

Jain and Wallace 2019 (weights beside what leaving words out changes), Wiegreffe and Pinter 2019 (what that shows).
"""

from __future__ import annotations

from collections.abc import Mapping

from seq2attn.config.schema import Config
from seq2attn.results.study import StudyResult
from seq2attn.runs.folder import TrainedRun
from seq2attn.studies.effects import views
from seq2attn.studies.effects.claims import CLAIMS, judge
from seq2attn.studies.effects.measure import MAX_WORDS, MIN_WORDS, measure_run
from seq2attn.studies.small_models import small_model
from seq2attn.studies.study import Preset, Progress, Study

_SENTENCES = {"smoke": 24, "quick": 150}
_NAMES = {"rnn": "RNN", "transformer": "Transformer"}


class EffectsStudy(Study):
    """Each weight of every layer and head beside what its look, and its word, are worth to the translation."""

    name = "weights-and-effects"
    question = "Is a weight an explanation?"
    claims = CLAIMS

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """An RNN with attention, and a transformer."""
        return {kind: small_model(kind, preset, name) for kind, name in _NAMES.items()}

    def why_not(self, run: TrainedRun) -> str | None:
        """A fixed context has no weights."""
        is_fixed = run.config.model.attention == "none"
        return "a fixed context has no attention weights" if is_fixed else None

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """The drops of all runs, each on its own translations of test sentences of its corpus."""
        n_sentences = _SENTENCES[preset or "quick"]
        measured = [measure_run(name, run, n_sentences, preset == "smoke", progress) for name, run in runs.items()]
        n_words = sum(int(found.n_words.sum()) for found in measured)
        return StudyResult(
            self.name,
            self.question,
            f"{len(runs)} run{'s' * (len(runs) > 1)}, {n_words} words of greedy translations of test sentences.",
            tuple(judge(measured)),
            (views.summary_table(measured), views.agreement_table(measured), views.example_table(measured)),
            (views.drops_panel(measured), views.agreement_panel(measured)),
            _NOTES,
        )


_NOTES = (
    "Models explain what they wrote themselves: weights and log-probabilities are those of the run's own greedy "
    f"translations of sources with {MIN_WORDS} to {MAX_WORDS} words, read where the word is written. The weight of a "
    "source word is the sum over its subwords, that of a written word the mean over its subwords, its drop their sum. "
    "The end of the sentence counts as a word on neither side; its look is never forbidden.",
    "own look: forbidden to the heads whose weights are read; every look: to all layers and heads. The score becomes "
    "−∞, so that the other weights are renormalised, as in seq2attn play, but only in the step that writes the word: "
    "earlier steps stay as they are. left out: the source without the word, as no model was trained with a mask.",
    "Kendall's τ: pairs of source words that weight and drop put in the same order, minus those in the opposite order, "
    "as a share of all pairs. Most source words matter little for a written word, and their order weighs as much as "
    "that of the others: same largest says whether the first word is the same.",
    "A look that can be forbidden without loss may still have been used: the model may find the same elsewhere. An "
    "explanation can also be meant as a plausible one, which no effect measures (Wiegreffe and Pinter 2019).",
)
