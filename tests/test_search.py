"""Search compared with exhaustive enumeration, and properties that hold for every model."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from seq2attn.config.models import RnnConfig, TransformerConfig
from seq2attn.data.batch import Batch
from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID
from seq2attn.decoding.search import Hypothesis, beam_search, beam_searches, best_continuations, greedy_search
from seq2attn.models.seq2seq import AttentionMaps, DecoderState, Memory, Seq2Seq, TeacherForcedBatch
from tests.conftest import VOCAB_SIZE, make_batch, make_model

SOURCE_LENGTHS = [5, 2, 7, 3]
MAX_LENGTHS = [8, 6, 9, 7]


def restless(model: Seq2Seq, eos_bias: float) -> Seq2Seq:
    """`model` with sharper distributions and EOS more or less likely, so lengths vary."""
    with torch.no_grad():
        model.output_weight.mul_(6.0)
        model.output_bias[EOS_ID] = eos_bias
    return model


def encode(model: Seq2Seq, batch: Batch) -> Memory:
    with torch.inference_mode():
        return model.encode(batch.source_ids, batch.source_valid)


@pytest.mark.parametrize("eos_bias", [0.0, 3.0, -50.0])
def test_a_beam_of_one_is_greedy(model: Seq2Seq, eos_bias: float) -> None:
    memory = encode(restless(model, eos_bias), make_batch(SOURCE_LENGTHS, [1] * 4))
    greedy = greedy_search(model, memory, MAX_LENGTHS)
    beams = beam_search(model, memory, MAX_LENGTHS, beam_size=1, length_penalty=0.7)
    assert [hypothesis.token_ids for (hypothesis,) in beams] == [hypothesis.token_ids for hypothesis in greedy]
    assert [hypothesis.finished for (hypothesis,) in beams] == [hypothesis.finished for hypothesis in greedy]
    assert [hypothesis.log_probability for (hypothesis,) in beams] == pytest.approx(
        [hypothesis.log_probability for hypothesis in greedy]
    )


@pytest.mark.parametrize("beam_size", [1, 3, 6])
def test_sentences_in_a_batch_do_not_affect_each_other(model: Seq2Seq, beam_size: int) -> None:
    restless(model, 2.0)
    batch = make_batch(SOURCE_LENGTHS, [1] * 4)
    together = beam_search(model, encode(model, batch), MAX_LENGTHS, beam_size, 1.0, n_best=beam_size)
    for row, length in enumerate(SOURCE_LENGTHS):
        alone = model.encode(batch.source_ids[row : row + 1, :length], batch.source_valid[row : row + 1, :length])
        (expected,) = beam_search(model, alone, MAX_LENGTHS[row : row + 1], beam_size, 1.0, n_best=beam_size)
        assert [hypothesis.token_ids for hypothesis in together[row]] == [
            hypothesis.token_ids for hypothesis in expected
        ]


def every_translation(
    model: Seq2Seq, memory: Memory, max_length: int, vocab_size: int
) -> list[tuple[list[int], float]]:
    """All token sequences up to `max_length`, ended by EOS or cut off, with their log-probabilities."""
    words = [token for token in range(vocab_size) if token not in (PAD_ID, BOS_ID, EOS_ID)]
    results = []
    for length in range(max_length + 1):
        for tokens in itertools.product(words, repeat=length):
            sequence = [*tokens, EOS_ID] if length < max_length else list(tokens)
            state, total = model.start(memory), 0.0
            for before, token in zip([BOS_ID, *sequence], sequence, strict=False):
                logits, state = model.advance(torch.tensor([before]), state)
                logits[:, [PAD_ID, BOS_ID]] = float("-inf")
                total += logits.log_softmax(-1)[0, token].item()
            results.append((list(tokens), total))
    return results


@pytest.mark.parametrize("vocab_size", [5, 40, 41, 97, 400])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_the_best_continuations_are_those_of_all(vocab_size: int, beam_size: int) -> None:
    random = torch.Generator().manual_seed(vocab_size)
    totals = torch.randn(3, beam_size, generator=random)
    log_probabilities = torch.randn(3 * beam_size, vocab_size, generator=random)
    n = min(2 * beam_size + 1, beam_size * vocab_size)
    everything = (totals.view(-1, 1) + log_probabilities).view(3, -1)
    best, places = best_continuations(totals, log_probabilities, 2 * beam_size + 1)
    assert torch.equal(best, everything.topk(n, dim=-1).values)
    assert torch.equal(everything.gather(1, places), best)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    "config",
    [
        RnnConfig(attention="additive", d_model=8),
        RnnConfig(attention="none", d_model=8, cell="gru"),
        TransformerConfig(d_model=8, n_heads=2),
    ],
)
def test_a_wide_beam_is_exhaustive_search(config: RnnConfig | TransformerConfig, length_penalty: float) -> None:
    vocab_size, max_length = 6, 4
    model = restless(make_model(config, source_vocab_size=23, target_vocab_size=vocab_size, joint_subwords=False), 1.0)
    memory = encode(model, make_batch([5], [1]))
    with torch.inference_mode():
        everything = every_translation(model, memory, max_length, vocab_size)
    scored = [(total / min(len(ids) + 1, max_length) ** length_penalty, ids) for ids, total in everything]
    expected = sorted(scored, key=lambda pair: -pair[0])[:10]
    (found,) = beam_search(model, memory, [max_length], 200, length_penalty, n_best=10)
    assert [hypothesis.token_ids for hypothesis in found] == [ids for _, ids in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected])


@pytest.mark.parametrize("n_best", [1, 4])
@pytest.mark.parametrize("beam_size", [2, 5])
def test_one_search_finds_the_best_with_each_length_penalty(model: Seq2Seq, beam_size: int, n_best: int) -> None:
    memory = encode(restless(model, 1.5), make_batch(SOURCE_LENGTHS, [1] * 4))
    penalties = [1.0, 0.0, 3.0, 0.6]
    found = beam_searches(model, memory, MAX_LENGTHS, beam_size, penalties, n_best)
    alone = [beam_search(model, memory, MAX_LENGTHS, beam_size, penalty, n_best) for penalty in penalties]
    for of_penalty, expected in zip(found, alone, strict=True):
        for hypotheses, its_expected in zip(of_penalty, expected, strict=True):
            assert [each.token_ids for each in hypotheses] == [each.token_ids for each in its_expected]
            assert [each.score for each in hypotheses] == pytest.approx([each.score for each in its_expected])
            assert [each.finished for each in hypotheses] == [each.finished for each in its_expected]
    assert found[1] != found[2]


def test_a_beam_finds_what_greedy_misses() -> None:
    """Over many random models the beam's score is never below greedy's, and often above."""
    wins = 0
    for seed in range(20):
        torch.manual_seed(seed)
        model = restless(make_model(RnnConfig(attention="dot", d_model=8)), 1.0)
        memory = encode(model, make_batch([6], [1], seed=seed))
        (greedy,) = greedy_search(model, memory, [6])
        ((best,),) = beam_search(model, memory, [6], 12, 0.0)
        assert best.log_probability >= greedy.log_probability - 1e-9
        wins += best.log_probability > greedy.log_probability + 1e-9
    assert wins >= 5


def test_n_best_is_sorted_distinct_and_free_of_special_ids(model: Seq2Seq) -> None:
    memory = encode(restless(model, 2.0), make_batch(SOURCE_LENGTHS, [1] * 4))
    for hypotheses in beam_search(model, memory, MAX_LENGTHS, beam_size=4, length_penalty=1.0, n_best=4):
        assert len(hypotheses) == 4
        assert hypotheses == sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
        assert len({tuple(hypothesis.token_ids) for hypothesis in hypotheses}) == 4
        for hypothesis in hypotheses:
            assert not {PAD_ID, BOS_ID, EOS_ID} & set(hypothesis.token_ids)


def test_an_endless_translation_is_cut_off_and_says_so(model: Seq2Seq) -> None:
    memory = encode(restless(model, -1e9), make_batch(SOURCE_LENGTHS, [1] * 4))
    greedy: list[Hypothesis] = greedy_search(model, memory, MAX_LENGTHS)
    beams = beam_search(model, memory, MAX_LENGTHS, 3, 1.0)
    for hypothesis, length in zip([*greedy, *(hypothesis for (hypothesis,) in beams)], MAX_LENGTHS * 2, strict=True):
        assert len(hypothesis.token_ids) == length
        assert not hypothesis.finished


class Hashing(Seq2Seq):
    """A model whose scores depend on every token so far; its state is these tokens, (batch, 1, length, 1)."""

    def __init__(self, by_position: bool) -> None:
        super().__init__()
        self.position_dim = 2 if by_position else None
        self.table = torch.randn(997, VOCAB_SIZE, generator=torch.Generator().manual_seed(5)) * 3

    def encode(self, source_ids: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        return Memory(source_ids[:, :, None].double(), source_valid)

    def encode_embedded(self, embedded: Tensor, source_valid: Tensor, maps: AttentionMaps | None = None) -> Memory:
        raise NotImplementedError

    def start(self, memory: Memory) -> DecoderState:
        return DecoderState(memory, (memory.states.new_zeros(len(memory.states), 1, 0, 1),))

    def advance(
        self, token_ids: Tensor, state: DecoderState, maps: AttentionMaps | None = None
    ) -> tuple[Tensor, DecoderState]:
        tokens = torch.cat((state.history[0], token_ids[:, None, None, None].double()), dim=2)
        keys = (tokens[:, 0, :, 0] * torch.arange(3, 3 + tokens.shape[2])).sum(dim=1) + state.memory.states[:, 0, 0]
        after = DecoderState(state.memory, (tokens,), state.position + 1, self.position_dim)
        return self.table[keys.long() % 997].clone(), after

    def forward(self, batch: TeacherForcedBatch, maps: AttentionMaps | None = None) -> Tensor:
        raise NotImplementedError


def test_moving_part_of_the_history_equals_moving_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    agreements: list[int] = []
    reorder = DecoderState.reorder

    def watch(state: DecoderState, rows: Tensor, agreed: int = 0) -> DecoderState:
        agreements.append(agreed)
        return reorder(state, rows, agreed)

    monkeypatch.setattr(DecoderState, "reorder", watch)
    batch = make_batch([5, 7], [1, 1])
    found = [
        beam_search(model, encode(model, batch), [30, 25], 4, 0.5, n_best=4)
        for model in (Hashing(by_position=True), Hashing(by_position=False))
    ]
    assert found[0] == found[1]
    assert max(agreements) > 10
