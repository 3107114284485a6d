from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.config.schema import TrainConfig
from seq2attn.data import loader
from seq2attn.data.encoded import EncodedPairs
from seq2attn.data.loader import BatchSampler, LoadedBatches, Loader
from seq2attn.data.subwords import PAD_ID
from seq2attn.runs.folder import RunFolder
from seq2attn.training.prepare import prepare_text
from tests.training_samples import FAMILIES, make_config, write_copy_task

LENGTHS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=200)
BUDGETS = st.integers(1, 400)
SEEDS = st.integers(0, 2**32 - 1)
EPOCHS = st.integers(0, 5)


def make_sampler(
    lengths: list[tuple[int, int]], batch_tokens: int = 100, seed: int = 1, short_first_epochs: int = 0
) -> BatchSampler:
    sources, targets = np.array(lengths, dtype=np.int32).T
    return BatchSampler(sources, targets - 1, batch_tokens, seed, short_first_epochs)


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


def batches_in_one_go(sampler: BatchSampler, epoch: int) -> list[list[int]]:
    """The batches by numpy's own sort and split, which take ten times the memory."""
    random = np.random.default_rng((sampler.seed, epoch))
    ties = random.permutation(len(sampler.source_lengths))
    order = np.lexsort((ties, sampler.source_lengths, sampler.target_lengths))
    longer = np.maximum(sampler.source_lengths, sampler.target_lengths + 1)[order]
    cuts: list[int] = []
    for row in range(1, len(order)):
        start = cuts[-1] if cuts else 0
        if (row + 1 - start) * longer[start : row + 1].max() > sampler.batch_tokens:
            cuts.append(row)
    batches = np.split(order, cuts)
    if epoch >= sampler.short_first_epochs:
        random.shuffle(batches)
    return [rows.tolist() for rows in batches]


@given(lengths=LENGTHS, batch_tokens=BUDGETS, seed=SEEDS, epoch=EPOCHS)
def test_the_order_of_a_seed_and_epoch_never_changes(
    lengths: list[tuple[int, int]], batch_tokens: int, seed: int, epoch: int
) -> None:
    """Runs of earlier versions resume with the batches that they would have had."""
    sampler = make_sampler(lengths, batch_tokens, seed, short_first_epochs=1)
    with patch.object(loader, "_CHUNK", 7):
        found = as_lists(sampler, epoch)
    assert found == as_lists(sampler, epoch) == batches_in_one_go(sampler, epoch)


@given(lengths=LENGTHS, seed=SEEDS, epoch=EPOCHS)
def test_an_epoch_depends_only_on_lengths_seed_and_number(
    lengths: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    used = make_sampler(lengths, seed=seed)
    for earlier in range(epoch):
        used.batches(earlier)
    assert as_lists(used, epoch) == as_lists(make_sampler(lengths, seed=seed), epoch)


def test_a_resumed_epoch_has_the_remaining_batches() -> None:
    lengths = random_lengths(300)
    full = as_lists(make_sampler(lengths), 2)
    assert len(full) > 20
    for batch in (0, 7, len(full) - 1, len(full)):
        assert as_lists(make_sampler(lengths), 2)[batch:] == full[batch:]


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
    """Padding takes less than a tenth of a batch; in random batches it would take more than a third."""
    lengths = [(length, length) for length, _ in random_lengths(3000)]
    padded = real = 0
    for batch in as_lists(make_sampler(lengths, batch_tokens=400), 0):
        padded += len(batch) * max(lengths[row][1] for row in batch)
        real += sum(lengths[row][1] for row in batch)
    assert real / padded > 0.9


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> EncodedPairs:
    folder = tmp_path_factory.mktemp("text")
    config = make_config(write_copy_task(folder, pairs=180), FAMILIES["fixed"], max_steps=1)
    return prepare_text(config, RunFolder(folder), resume=False).train


def make_loader(pairs: EncodedPairs) -> Loader:
    return Loader(pairs, TrainConfig(max_steps=1, batch_tokens=60), torch.device("cpu"))


@pytest.mark.parametrize("taken", [0, 1, 8, 9, 10, 20])
def test_a_restored_loader_continues_with_the_same_batches(pairs: EncodedPairs, taken: int) -> None:
    loader, restored = make_loader(pairs), make_loader(pairs)
    for _ in range(taken):
        loader.next_batches(1)
    restored.load_state_dict(loader.state_dict())
    assert restored.progress() == loader.progress()
    for _ in range(12):
        expected, found = loader.next_batches(2), restored.next_batches(2)
        assert found.pairs == expected.pairs
        assert all(map(torch.equal, ids_of(found), ids_of(expected)))
    assert restored.state_dict() == loader.state_dict()


def ids_of(loaded: LoadedBatches) -> list[torch.Tensor]:
    return [batch.source_ids for batch in loaded.batches]


def test_progress_is_an_integer_at_the_end_of_an_epoch_and_continues(pairs: EncodedPairs) -> None:
    loader = make_loader(pairs)
    n_batches = len(loader._sampler.batches(0))
    seen = [loader.progress()]
    for _ in range(2 * n_batches):
        loader.next_batches(1)
        seen.append(loader.progress())
    assert (seen[0], seen[n_batches], seen[2 * n_batches]) == (0.0, 1.0, 2.0)
    assert seen == sorted(set(seen))


def test_loaded_batches_count_their_tokens(pairs: EncodedPairs) -> None:
    loaded = make_loader(pairs).next_batches(3)
    assert loaded.source_tokens == sum(int(batch.source_valid.sum()) for batch in loaded.batches)
    for batch in loaded.batches:
        assert batch.target_tokens == int((batch.target_output != PAD_ID).sum())
    assert len(loaded.pairs) == sum(len(batch.source_ids) for batch in loaded.batches)
