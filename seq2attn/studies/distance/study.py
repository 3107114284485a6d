"""`distance`: how far does a gradient reach?

Each target token's loss has a gradient at each source token. In an RNN it passes through every step between (Bengio et
al. 1994), with attention through one (Bahdanau et al. 2015; Vaswani et al. 2017, table 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seq2attn.config.schema import Config
from seq2attn.results.study import StudyResult
from seq2attn.runs.folder import TrainedRun, untrained
from seq2attn.studies.distance import views
from seq2attn.studies.distance.claims import CLAIMS, LONG, MeasuredRun, judge
from seq2attn.studies.distance.coreference import Look, coreference, why_no_pronoun
from seq2attn.studies.distance.gradients import Profile, Values, diagonal, profile, source_gradients
from seq2attn.studies.heads.looks import aligned_subwords
from seq2attn.studies.losses import target_tokens, text_batches, text_losses
from seq2attn.studies.sample import TextPair, corpora_of, text_pairs
from seq2attn.studies.small_models import small_model
from seq2attn.studies.study import Preset, Progress, Study

_SENTENCES = {"smoke": 16, "quick": 100}
_MOST_WORDS = 45
_BATCH = 16
_SMOKE_TRAINING = {"max_steps": 40, "validate_every_steps": 40, "checkpoint_every_steps": 40, "keep_checkpoints": 1}


class DistanceStudy(Study):
    """Gradients of each target token's loss by source position, and where *it* looks."""

    name = "distance"
    question = "How far does a gradient reach?"
    claims = CLAIMS

    def configs(self, preset: Preset) -> Mapping[str, Config]:
        """A fixed context, the same RNN with attention, and a transformer."""
        train = _SMOKE_TRAINING if preset == "smoke" else {}
        return {
            "rnn_fixed": small_model("rnn", preset, "RNN, fixed context", {"attention": "none"}, train),
            "rnn_attention": small_model("rnn", preset, "RNN, attention", train=train),
            "transformer": small_model("transformer", preset, "Transformer", train=train),
        }

    def why_not(self, run: TrainedRun) -> str | None:
        """Every model has a gradient at its source, if it has a test text."""
        pairs = _test_pairs(run, 1)
        return None if pairs else f"its test text has no source of at most {_MOST_WORDS} words"

    def measure(self, runs: Mapping[str, TrainedRun], preset: Preset | None, progress: Progress) -> StudyResult:
        """The gradients of all runs, each on the test split of its own corpus."""
        n_sentences = _SENTENCES[preset or "quick"]
        measured = []
        for number, (name, run) in enumerate(runs.items(), start=1):
            measured.append(_measure(name, run, n_sentences))
            progress("runs", number, len(runs))
        looks = [look for name, run in runs.items() if why_no_pronoun(run) is None for look in coreference(name, run)]
        return StudyResult(
            self.name,
            self.question,
            f"{len(runs)} run{'s' * (len(runs) > 1)} on at most {n_sentences} test sentences of "
            f"{corpora_of(runs.values())}.",
            tuple(judge(measured)),
            (
                *(views.summary_table(measured), views.distance_table(measured), views.depth_table(measured)),
                *([views.coreference_table(looks)] if looks else []),
            ),
            (views.distance_panel(measured), *views.depth_panels(measured)),
            (*_notes(measured), *_on_pronouns(runs, looks)),
        )


_NOTES = (
    "norm: the mean over target tokens of √Σ_s ‖∂ℓ_t / ∂e_s‖², where ℓ_t is the loss of target token t and e_s the "
    "vector of source token s. Everything else is relative: each target token's gradient norms are divided by their "
    "mean over the source tokens, so that 1 is what a source token gets on average. Before training means the random "
    "weights of the run's seed. Models are fed with the reference.",
    "middle: the gradient at source tokens that are ten or more away from both ends, divided by that at the two tokens "
    f"at each end, in sentences of {LONG} tokens or more. The encoder reads in both directions, so a token's way to "
    "the fixed vector is as many steps as it is away from the nearer end; the decoder reads that vector at every step.",
    "aligned: the gradient at the source tokens that the target token is aligned with.",
    "Of a trained model, a small gradient far from the aligned word need not have been lost on its way: the word may "
    "not matter. The gradient before training shows the paths alone, that at the aligned word what the model uses.",
    "A model that has hardly learned to translate uses its source little, whatever its paths allow: see its loss, and "
    "the norm. After the same updates a fixed context is the farthest from having learned.",
    "How fast a gradient fades before training depends on the cell and its initialisation: the study's own RNNs are "
    "GRUs, whose gates begin half open; the forget gates of an LSTM begin more open.",
    "A gradient is the effect of a small change of a vector. A word may matter and its gradient be small, where the "
    "model is certain and its softmax flat.",
)


def _notes(measured: Sequence[MeasuredRun]) -> tuple[str, ...]:
    guessed = [run.run for run in measured if not run.is_aligned]
    if not guessed:
        return _NOTES
    return (
        *_NOTES,
        f"The alignment of {', '.join(guessed)} is not known; there, distances are from the source token at the same "
        "relative position as the target token.",
    )


def _on_pronouns(runs: Mapping[str, TrainedRun], looks: Sequence[Look]) -> list[str]:
    """What has to be said about *it*, run by run."""
    found = []
    for name, run in runs.items():
        own = [look for look in looks if look.run == name]
        if (reason := why_no_pronoun(run)) is not None:
            found.append(f'Where "it" looks is not shown of {name}: {reason}.')
        else:
            found.append(
                f"{name}: {sum(look.follows for look in own)} of {len(own)} heads of {own[0].kind} attention look more "
                "at the animal where it is too tired, and more at the street where it is too wide. Two sentences show "
                "what a head does there, and nothing about it in general."
            )
    return found


def _measure(name: str, run: TrainedRun, n_sentences: int) -> MeasuredRun:
    pairs = _test_pairs(run, n_sentences)
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    return MeasuredRun(
        run=name,
        has_attention=run.config.model.attention != "none",
        is_aligned=all(pair.gold is not None for pair in pairs),
        before=_profile(untrained(run), pairs),
        after=_profile(run, pairs),
        losses=text_losses(run, sources, targets),
        tokens=target_tokens(run, targets),
    )


def _profile(run: TrainedRun, pairs: Sequence[TextPair]) -> Profile:
    matrices: list[Values] = []
    aligned: list[Values] = []
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    for rows, batch in text_batches(run, sources, targets, _BATCH):
        found = source_gradients(run.model, batch)
        matrices += found
        aligned += [_aligned(run, pairs[row], matrix) for row, matrix in zip(rows, found, strict=True)]
    return profile(matrices, aligned)


def _aligned(run: TrainedRun, pair: TextPair, matrix: Values) -> Values:
    """(target_len, source_len) 1 where a source token is aligned with a target token, or at the same place."""
    if pair.gold is None:
        return diagonal(*matrix.shape)
    return aligned_subwords(run, pair.gold, matrix.shape[1], matrix.shape[0])


def _test_pairs(run: TrainedRun, number: int) -> list[TextPair]:
    """At most `number` test pairs of sources that are not too long, from the first to the last of them."""
    short = [pair for pair in text_pairs(run) if 0 < len(pair.source.split()) <= _MOST_WORDS]
    return [short[index] for index in np.linspace(0, len(short) - 1, min(number, len(short)), dtype=int).tolist()]
