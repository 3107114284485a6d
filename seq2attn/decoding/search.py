"""Greedy and beam search for any model with the contract of `models/seq2seq.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID
from seq2attn.models.seq2seq import DecoderState, Memory, Seq2Seq

# As many numbers fit into a processor's cache.
_CACHED_ELEMENTS = 2**17
# Tokens whose maximum stands for them at first in `best_continuations`.
_GROUP = 40


@dataclass(frozen=True)
class Hypothesis:
    """One translation of one sentence."""

    token_ids: list[int]
    """Without BOS and EOS."""
    log_probability: float
    """Sum over all tokens, EOS included."""
    score: float
    """log_probability / length ** length_penalty; the length counts EOS."""
    finished: bool
    """False: cut off at the maximum length."""


def next_log_probabilities(logits: Tensor) -> Tensor:
    """`logits` (rows, vocab_size), changed in place to log-probabilities of the next token.

    -inf for PAD and BOS, which no target contains.
    """
    for token_id in (PAD_ID, BOS_ID):
        logits[:, token_id] = float("-inf")
    # In place, piece by piece within a processor's cache: large new tensors cost more than the arithmetic.
    for piece in logits.split(max(1, _CACHED_ELEMENTS // logits.shape[1])):
        piece.copy_(piece.log_softmax(dim=-1))
    return logits


def best_continuations(totals: Tensor, log_probabilities: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The `n` best sums of a hypothesis and its next token, for each sentence, best first, or all if they are fewer.

    Only the `n` groups of tokens with the best maximum are sorted; the maxima cost a fraction of sorting everything.

    Args:
        totals: (sentences, beam_size) log-probabilities of the hypotheses.
        log_probabilities: (sentences · beam_size, vocab_size) of their next tokens.
        n: how many.

    Returns:
        The sums (sentences, n), and where they are: hypothesis · vocab_size + token.
    """
    n_sentences, beam_size = totals.shape
    vocab_size = log_probabilities.shape[1]
    maxima = _maxima_of_groups(log_probabilities)
    n_groups = maxima.shape[1]
    sums = (maxima.view(n_sentences, beam_size, -1) + totals[:, :, None]).flatten(1)
    chosen = sums.topk(min(n, sums.shape[1]), dim=-1).indices
    hypotheses, groups = chosen // n_groups, chosen % n_groups
    tokens = groups[:, :, None] + torch.arange(0, _GROUP * n_groups, n_groups, device=totals.device)
    places = (hypotheses * vocab_size)[:, :, None] + tokens.clamp(max=vocab_size - 1)
    sums = log_probabilities.view(n_sentences, -1).gather(1, places.flatten(1)).view_as(places)
    sums = (sums + totals.gather(1, hypotheses)[:, :, None]).masked_fill(tokens >= vocab_size, float("-inf"))
    best, order = sums.flatten(1).topk(min(n, beam_size * vocab_size), dim=-1)
    return best, places.flatten(1).gather(1, order)


def _maxima_of_groups(values: Tensor) -> Tensor:
    """(rows, n) the maximum of each group of up to `_GROUP` columns of `values`: of column j, j + n, j + 2n, …

    So neighbours are in different groups, which lets a processor compare many groups at once.
    """
    width = values.shape[1]
    n = -(-width // _GROUP)
    full = width - width % n
    maxima = values[:, :full].unflatten(1, (-1, n)).amax(dim=1)
    maxima[:, : width - full] = torch.maximum(maxima[:, : width - full], values[:, full:])
    return maxima


@torch.inference_mode()
def greedy_search(model: Seq2Seq, memory: Memory, max_lengths: list[int]) -> list[Hypothesis]:
    """The most probable token at each step, for each sentence of `memory`; the score is the log-probability.

    `max_lengths`: number of tokens at which each translation is cut off. Finished rows are removed from the batch.
    """
    device = memory.states.device
    state = model.start(memory)
    tokens = torch.full((len(max_lengths),), BOS_ID, device=device)
    running = list(range(len(max_lengths)))  # sentence of each row
    totals = [0.0] * len(max_lengths)
    outputs: list[list[int]] = [[] for _ in max_lengths]
    finished = [False] * len(max_lengths)
    while running:
        logits, state = model.advance(tokens, state)
        best, tokens = next_log_probabilities(logits).max(-1)
        kept = []
        for row, (sentence, token, value) in enumerate(zip(running, tokens.tolist(), best.tolist(), strict=True)):
            totals[sentence] += value
            finished[sentence] = token == EOS_ID
            if not finished[sentence]:
                outputs[sentence].append(token)
                if len(outputs[sentence]) < max_lengths[sentence]:
                    kept.append(row)
        if len(kept) < len(running):
            running = [running[row] for row in kept]
            rows = torch.tensor(kept, dtype=torch.int64, device=device)
            tokens, state = tokens[rows], state.select(rows)
    return [
        Hypothesis(output, total, total, ended) for output, total, ended in zip(outputs, totals, finished, strict=True)
    ]


@torch.inference_mode()
def beam_search(
    model: Seq2Seq, memory: Memory, max_lengths: list[int], beam_size: int, length_penalty: float, n_best: int = 1
) -> list[list[Hypothesis]]:
    """The `n_best` best hypotheses of each sentence of `memory` (or all, if fewer), best first.

    Hypotheses are ranked by log-probability / length ** length_penalty. The search for a sentence ends when it has at
    least `beam_size` finished hypotheses and its best running one scores below the `n_best` best of them, or at its
    maximum length, where the running ones are taken unfinished.
    """
    return beam_searches(model, memory, max_lengths, beam_size, [length_penalty], n_best)[0]


@torch.inference_mode()
def beam_searches(
    model: Seq2Seq,
    memory: Memory,
    max_lengths: list[int],
    beam_size: int,
    length_penalties: Sequence[float],
    n_best: int = 1,
) -> list[list[list[Hypothesis]]]:
    """What `beam_search` returns for each of the length penalties, from one search.

    A penalty decides how finished hypotheses are ranked and when the search ends, not which running ones are kept. So
    the hypotheses of all penalties are the same up to their ends.
    """
    beams = _Beams(model, memory, max_lengths, max(beam_size, n_best), length_penalties, n_best)
    while beams.running:
        beams.step()
    return beams.best


class _Found(NamedTuple):
    """A hypothesis that ended, before it is ranked."""

    token_ids: list[int]
    log_probability: float
    length: int
    """Counts EOS."""
    finished: bool

    def score(self, length_penalty: float) -> float:
        return float(self.log_probability / self.length**length_penalty)

    def scored(self, length_penalty: float) -> Hypothesis:
        return Hypothesis(self.token_ids, self.log_probability, self.score(length_penalty), self.finished)


class _Beams:
    """The running hypotheses: `beam_size` consecutive rows for each unfinished sentence."""

    def __init__(
        self,
        model: Seq2Seq,
        memory: Memory,
        max_lengths: list[int],
        beam_size: int,
        length_penalties: Sequence[float],
        n_best: int,
    ) -> None:
        n_sentences = len(max_lengths)
        self.model = model
        self.max_lengths = max_lengths
        self.beam_size = beam_size
        self.length_penalties = length_penalties
        self.n_best = n_best
        self.found: list[list[_Found]] = [[] for _ in max_lengths]
        self.best: list[list[list[Hypothesis]]] = [[[] for _ in max_lengths] for _ in length_penalties]
        """For each penalty and sentence; empty while the search for them goes on."""
        self.running = list(range(n_sentences))
        self.device = memory.states.device
        self.slots = torch.arange(beam_size, device=self.device)
        self.state = model.start_beams(memory, beam_size)
        self.tokens = torch.full((n_sentences * beam_size, 1), BOS_ID, device=self.device)
        # All hypotheses of a sentence start equal, and would stay equal if all of them grew.
        self.totals = torch.full((n_sentences, beam_size), float("-inf"), device=self.device)
        self.totals[:, 0] = 0.0

    def step(self) -> None:
        """Add a token to every running hypothesis."""
        logits, state = self.model.advance(self.tokens[:, -1], self.state)
        # Of twice beam_size candidates at most half end (one for each origin), so enough of them continue.
        totals, candidates = best_continuations(self.totals, next_log_probabilities(logits), 2 * self.beam_size)
        vocab_size = logits.shape[1]
        first_rows = torch.arange(len(self.running), device=self.device)[:, None] * self.beam_size
        origins, tokens = first_rows + candidates // vocab_size, candidates % vocab_size
        ended = tokens == EOS_ID
        self._collect_ended(totals, origins, ended)
        agreed = 0 if state.position_dim is None else self._count_agreed()
        self.totals, order = totals.masked_fill(ended, float("-inf")).topk(self.beam_size, dim=-1)
        rows = origins.gather(1, order).flatten()
        self.tokens = torch.cat((self.tokens[rows], tokens.gather(1, order).view(-1, 1)), dim=1)
        self._drop_done(rows, state, agreed)

    def _count_agreed(self) -> int:
        """Length of the prefix that the hypotheses of a sentence share: the shortest over all sentences."""
        tokens = self.tokens.view(len(self.running), self.beam_size, -1)
        same = (tokens == tokens[:, :1]).flatten(0, 1).all(dim=0)
        return int(same.long().cumprod(dim=0).sum())

    @property
    def _length(self) -> int:
        """Tokens of a running hypothesis."""
        return self.tokens.shape[1] - 1

    def _collect_ended(self, totals: Tensor, origins: Tensor, ended: Tensor) -> None:
        """Collect the hypotheses that end at this step and are among the `beam_size` best candidates."""
        counts = ended & (totals > float("-inf"))
        counts[:, self.beam_size :] = False
        length = self._length + 1
        for index, rank in counts.nonzero().tolist():
            token_ids = self.tokens[origins[index, rank], 1:].tolist()
            found = _Found(token_ids, totals[index, rank].item(), length, finished=True)
            self.found[self.running[index]].append(found)

    def _drop_done(self, rows: Tensor, state: DecoderState, agreed: int) -> None:
        """Select the state of the new hypotheses, without those of finished sentences."""
        best_running = self.totals[:, 0].tolist()
        kept = [index for index, best in enumerate(best_running) if not self._is_done(index, best)]
        if len(kept) == len(self.running):
            self.state = state.reorder(rows, agreed)
            return
        self.running = [self.running[index] for index in kept]
        indices = torch.tensor(kept, dtype=torch.int64, device=self.device)
        flat = (indices[:, None] * self.beam_size + self.slots).flatten()
        self.state = state.select(rows[flat])
        self.tokens, self.totals = self.tokens[flat], self.totals[indices]

    def _is_done(self, index: int, best_running: float) -> bool:
        """Whether the search for a sentence has ended with all penalties; notes the best of each that it ends with."""
        sentence = self.running[index]
        at_end = best_running == float("-inf") or self._length >= self.max_lengths[sentence]
        if at_end:
            self._collect_running(index)
        found = self.found[sentence]
        if len(found) < self.beam_size and not at_end:
            return False
        is_done = True
        for best, penalty in zip(self.best, self.length_penalties, strict=True):
            if best[sentence]:
                continue
            scores = sorted((hypothesis.score(penalty) for hypothesis in found), reverse=True)
            if at_end or best_running / self._length**penalty <= scores[self.n_best - 1]:
                ranked = sorted(found, key=lambda hypothesis: -hypothesis.score(penalty))
                best[sentence] = [hypothesis.scored(penalty) for hypothesis in ranked[: self.n_best]]
            else:
                is_done = False
        return is_done

    def _collect_running(self, index: int) -> None:
        """Collect the running hypotheses of a sentence unfinished."""
        for slot, total in enumerate(self.totals[index].tolist()):
            if total > float("-inf"):
                token_ids = self.tokens[index * self.beam_size + slot, 1:].tolist()
                self.found[self.running[index]].append(_Found(token_ids, total, self._length, finished=False))
