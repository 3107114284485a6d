from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.data.loader import BatchSampler

LENGTHS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=200)
BUDGETS = st.integers(1, 400)
SEEDS = st.integers(0, 2**32 - 1)
EPOCHS = st.integers(0, 5)


def make_sampler(
    lengths: list[tuple[int, int]], batch_tokens: int = 100, seed: int = 1, short_first_epochs: int = 0
) -> BatchSampler:
    sources, targets = np.array(lengths, dtype=np.int32).T
    return BatchSampler(sources, targets, batch_tokens, seed, short_first_epochs)


def random_lengths(pairs: int) -> list[tuple[int, int]]:
    return [tuple(row) for row in np.random.default_rng(3).integers(1, 40, (pairs, 2)).tolist()]


def as_lists(sampler: BatchSampler, epoch: int) -> list[list[int]]:
    return [rows.tolist() for rows in sampler.batches(epoch)]


@given(lengths=LENGTHS, batch_tokens=BUDGETS, seed=SEEDS, epoch=EPOCHS)
def test_every_pair_comes_exactly_once_an_epoch(
    lengths: list[tuple[int, int]], batch_tokens: int, seed: int, epoch: int
) -> None:
    batches = as_lists(make_sampler(lengths, batch_tokens, seed), epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(batches)


@given(lengths=LENGTHS, batch_tokens=BUDGETS, epoch=EPOCHS)
def test_padded_tokens_stay_within_the_budget_unless_one_pair_alone_exceeds_it(
    lengths: list[tuple[int, int]], batch_tokens: int, epoch: int
) -> None:
    for batch in as_lists(make_sampler(lengths, batch_tokens), epoch):
        longest = max(max(lengths[row]) for row in batch)
        assert len(batch) * longest <= batch_tokens or len(batch) == 1


@given(lengths=LENGTHS, seed=SEEDS, epoch=EPOCHS)
def test_an_epoch_depends_on_nothing_but_lengths_seed_and_number(
    lengths: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    used = make_sampler(lengths, seed=seed)
    for earlier in range(epoch):
        used.batches(earlier)
    assert as_lists(used, epoch) == as_lists(make_sampler(lengths, seed=seed), epoch)


def test_the_batches_of_a_resumed_epoch_are_the_rest_of_the_whole_one() -> None:
    lengths = random_lengths(300)
    whole = as_lists(make_sampler(lengths), 2)
    assert len(whole) > 20
    for batch in (0, 7, len(whole) - 1, len(whole)):
        assert as_lists(make_sampler(lengths), 2)[batch:] == whole[batch:]


@pytest.mark.parametrize(("seed", "epoch"), [(1, 1), (2, 0)])
def test_another_seed_or_epoch_gives_another_order_and_other_batches(seed: int, epoch: int) -> None:
    lengths = random_lengths(300)
    first, other = as_lists(make_sampler(lengths, seed=1), 0), as_lists(make_sampler(lengths, seed=seed), epoch)
    assert first != other
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in other}


def test_short_first_epochs_come_in_order_of_length_and_later_ones_do_not() -> None:
    lengths = random_lengths(300)
    sampler = make_sampler(lengths, short_first_epochs=2)
    for epoch, in_order in ((0, True), (1, True), (2, False)):
        means = [np.mean([lengths[row][1] for row in batch]) for batch in as_lists(sampler, epoch)]
        assert (means == sorted(means)) is in_order


def test_pairs_of_similar_length_go_together() -> None:
    """Padding costs less than a tenth of a batch, where random batches would waste more than a third."""
    lengths = [(length, length) for length, _ in random_lengths(3000)]
    padded = real = 0
    for batch in as_lists(make_sampler(lengths, batch_tokens=400), 0):
        padded += len(batch) * max(lengths[row][1] for row in batch)
        real += sum(lengths[row][1] for row in batch)
    assert real / padded > 0.9
