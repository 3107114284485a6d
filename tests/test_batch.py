from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2attn.data.batch import collate, pad_ids, pad_sources
from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID

# Real sentences contain no special ids except a source's EOS.
SENTENCES = st.lists(st.lists(st.integers(4, 99), max_size=12), min_size=1, max_size=8)


def test_a_batch_by_hand() -> None:
    batch = collate([[7, 8, EOS_ID], [9, EOS_ID]], [[5], [6, 7, 8]])
    assert batch.source_ids.tolist() == [[7, 8, EOS_ID], [9, EOS_ID, PAD_ID]]
    assert batch.source_valid.tolist() == [[True, True, True], [True, True, False]]
    assert batch.target_input.tolist() == [[BOS_ID, 5, PAD_ID, PAD_ID], [BOS_ID, 6, 7, 8]]
    assert batch.target_output.tolist() == [[5, EOS_ID, PAD_ID, PAD_ID], [6, 7, 8, EOS_ID]]
    assert batch.target_tokens == 6


@given(targets=SENTENCES)
def test_output_is_input_shifted_and_only_real_tokens_count(targets: list[list[int]]) -> None:
    sources = [[4, EOS_ID]] * len(targets)
    batch = collate(sources, targets)
    assert batch.target_input.shape == batch.target_output.shape == (len(targets), max(map(len, targets)) + 1)
    assert batch.target_tokens == (batch.target_output != PAD_ID).sum().item()
    for row, target in enumerate(targets):
        length = len(target) + 1
        assert batch.target_input[row, :length].tolist() == [BOS_ID, *target]
        assert batch.target_output[row, :length].tolist() == [*target, EOS_ID]
        assert set(batch.target_input[row, length:].tolist()) <= {PAD_ID}
        assert set(batch.target_output[row, length:].tolist()) <= {PAD_ID}


@given(sources=SENTENCES)
def test_valid_positions_are_exactly_the_sentence(sources: list[list[int]]) -> None:
    source_ids, source_valid = pad_sources([[*source, EOS_ID] for source in sources])
    assert source_ids.dtype == torch.int64
    for row, source in enumerate(sources):
        assert source_ids[row][source_valid[row]].tolist() == [*source, EOS_ID]
        assert source_valid[row].sum().item() == len(source) + 1


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_arrays_pad_as_lists_do(dtype: type[np.integer]) -> None:
    lists = [[4, 5, 6], [7]]
    arrays = [np.array(sentence, dtype=dtype) for sentence in lists]
    assert torch.equal(pad_ids(arrays, before=[BOS_ID]), pad_ids(lists, before=[BOS_ID]))


def test_moving_a_batch_keeps_its_content() -> None:
    batch = collate([[4, EOS_ID]], [[5, 6]])
    moved = batch.to(torch.device("meta"))
    assert moved.target_tokens == batch.target_tokens
    for name in ("source_ids", "source_valid", "target_input", "target_output"):
        tensor = getattr(moved, name)
        assert tensor.device.type == "meta"
        assert tensor.shape == getattr(batch, name).shape


@given(targets=SENTENCES.filter(lambda targets: len(targets) > 1))
def test_halves_contain_every_pair_once_and_in_order(targets: list[list[int]]) -> None:
    sources = [[number + 4, EOS_ID] for number in range(len(targets))]
    batch = collate(sources, targets)
    halves = batch.halves()
    assert abs(len(halves[0].source_ids) - len(halves[1].source_ids)) <= 1
    assert sum(half.target_tokens for half in halves) == batch.target_tokens
    for name in ("source_ids", "source_valid", "target_input", "target_output"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(batch, name))
