"""The count of arithmetic compared with PyTorch's counter, which counts the operations that a model executes.

In float64 recurrent layers run as plain products, which PyTorch's counter supports; it does not support fused layers.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seq2attn.benchmark.flops import Sizes, decoding_flops, encoding_flops, training_flops, window_of
from seq2attn.config.models import ModelConfig, RnnConfig, TransformerConfig
from seq2attn.data.batch import Batch
from seq2attn.training.loss import cross_entropy_sum
from tests.conftest import MODELS, VOCAB_SIZE, make_batch, make_model

SENTENCES, SOURCE_TOKENS, TARGET_TOKENS = 3, 7, 5
# Of a window, whole blocks are computed, and those keys of them that are outside it are not counted.
COUNTED = {name: config for name, config in MODELS.items() if name != "transformer_window"}
EVERY_MODEL = pytest.mark.parametrize("config", COUNTED.values(), ids=COUNTED)


def unpadded() -> tuple[Batch, Sizes]:
    """A batch, and its sizes including the masked half of causal attention, which PyTorch counts."""
    batch = make_batch([SOURCE_TOKENS] * SENTENCES, [TARGET_TOKENS - 1] * SENTENCES)
    sizes = Sizes.of([(SOURCE_TOKENS, TARGET_TOKENS)] * SENTENCES)
    return batch, replace(sizes, target_pairs=SENTENCES * TARGET_TOKENS**2)


@pytest.fixture(autouse=True, scope="module")
def compiler_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Redirect the folder that PyTorch's counter creates for a compiler that it never calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiler")))
        yield


def counter() -> FlopCounterMode:
    return FlopCounterMode(display=False)


def vector_products(config: ModelConfig, sizes: Sizes) -> int:
    """v · tanh(…) for every pair of tokens: products with a vector, which PyTorch does not count."""
    return 2 * config.d_model * sizes.cross_pairs if config.attention == "additive" else 0


@EVERY_MODEL
def test_a_forward_pass_is_counted_exactly(config: ModelConfig) -> None:
    model = make_model(config)
    batch, sizes = unpadded()
    with sdpa_kernel(SDPBackend.MATH):
        with counter() as encoding:
            model.encode(batch.source_ids, batch.source_valid)
        with counter() as forward:
            model.project(model(batch))
    assert encoding.get_total_flops() == encoding_flops(config, sizes)
    expected = encoding_flops(config, sizes) + decoding_flops(config, VOCAB_SIZE, sizes)
    assert forward.get_total_flops() == expected - vector_products(config, sizes)


def without_gradient(config: ModelConfig, sizes: Sizes) -> int:
    """Gradients that are not computed: of the zero states of an encoder's LSTM, of the constant weights of a mean."""
    if not isinstance(config, RnnConfig):
        return 0
    half = config.d_model // 2
    of_zeros = 2 * config.n_layers * 2 * 4 * half * half * sizes.sentences if config.cell == "lstm" else 0
    of_weights = 2 * config.d_model * sizes.source_tokens if config.summary == "mean" else 0
    return of_zeros + of_weights


# Additive attention recomputes its queries to save memory; the model itself does not need that arithmetic.
@pytest.mark.parametrize(
    "config", [config for config in COUNTED.values() if config.attention != "additive"], ids=lambda config: config.kind
)
def test_training_is_three_forward_passes(config: ModelConfig) -> None:
    model = make_model(config).train()
    batch, sizes = unpadded()
    with sdpa_kernel(SDPBackend.MATH), counter() as counted:
        cross_entropy_sum(model, model(batch), batch.target_output, label_smoothing=0.1).backward()
    expected = training_flops(config, VOCAB_SIZE, sizes) - without_gradient(config, sizes)
    assert counted.get_total_flops() == expected


@EVERY_MODEL
def test_stepwise_decoding_costs_as_much_as_forward(config: ModelConfig) -> None:
    model = make_model(config)
    batch, _ = unpadded()
    sizes = Sizes.of([(SOURCE_TOKENS, TARGET_TOKENS)] * SENTENCES)
    memory = model.encode(batch.source_ids, batch.source_valid)
    with sdpa_kernel(SDPBackend.MATH), counter() as counted:
        state = model.start(memory)
        for tokens in batch.target_input.unbind(dim=1):
            _, state = model.advance(tokens, state)
    # A step sees no later position, so nothing is masked and causal attention is counted exactly.
    assert counted.get_total_flops() == decoding_flops(config, VOCAB_SIZE, sizes) - vector_products(config, sizes)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=5),
    hypotheses=st.integers(1, 5),
)
def test_sizes_are_sums_over_sentences(lengths: list[tuple[int, int]], hypotheses: int) -> None:
    sizes = Sizes.of(lengths, hypotheses)
    visible = [(source, earlier) for source, target in lengths for earlier in range(target)]
    assert sizes.sentences == len(lengths)
    assert sizes.target_pairs == hypotheses * sum(earlier + 1 for _, earlier in visible)
    assert sizes.cross_pairs == hypotheses * sum(source for source, _ in visible)
    assert sizes.source_pairs == sum(source**2 for source, _ in lengths)
    assert (sizes.source_tokens, sizes.target_tokens) == (sum(s for s, _ in lengths), hypotheses * len(visible))


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 30])
def test_pairs_within_a_window_are_counted_exactly(length: int) -> None:
    near = sum(abs(i - j) <= 5 for i in range(length) for j in range(length))
    assert Sizes.of([(length, 1), (length, 1)], window=5).source_pairs == 2 * near


def test_a_window_costs_less_for_long_sentences_only() -> None:
    full, window = TransformerConfig(), TransformerConfig(self_attention="window", window=5)
    assert (window_of(full), window_of(window), window_of(RnnConfig())) == (None, 5, None)
    for length, is_cheaper in ((6, False), (7, True)):
        flops = [encoding_flops(config, Sizes.of([(length, 1)], window=window_of(config))) for config in (window, full)]
        assert (flops[0] < flops[1]) is is_cheaper
