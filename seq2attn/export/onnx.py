"""A trained model as two ONNX graphs, encoder and decoder step, with a program that translates with them

A graph computes without state: the encoder's outputs are the decoder's inputs of the same names, and at each target
position the decoder's outputs `new_state.*` become its inputs `state.*`. So one program serves every kind of model.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import seq2attn
from seq2attn.data.cache import build_once
from seq2attn.data.subwords import BOS_ID, EOS_ID, PAD_ID, file_names
from seq2attn.errors import MissingExtraError
from seq2attn.export.shared import require_new
from seq2attn.models.seq2seq import AttentionMaps, DecoderState, Memory, Seq2Seq
from seq2attn.runs.folder import TrainedRun

OPSET = 17
"""The version of ONNX's operators."""

_PROGRAM = "translate_onnx.py"
_EXTRA_LENGTH = 10  # as in `decoding/translate.py`
# Batch size, source length and target positions so far of two examples. Dimensions that differ between them are
# dynamic; no two numbers are equal, so that each says which dimension it is.
_EXAMPLES = ((2, 5, 3), (11, 7, 13))
_DIMENSIONS = {(2, 11): "batch", (5, 7): "source_len", (3, 13): "past_len", (4, 14): "target_len"}


def export_onnx(run: TrainedRun, folder: Path) -> None:
    """Write the model of `run` into the new folder `folder`, in float32, with its subwords and a program.

    Raises: RunError where the folder exists; MissingExtraError without onnx; DiskError where it cannot be written.
    """
    require_new(folder)
    try:
        import onnx  # noqa: F401  (the exporter imports it late, and says less)
    except ImportError as error:
        raise MissingExtraError("onnx is not installed; pip install 'seq2attn[onnx]' brings it") from error

    def write(draft: Path) -> None:
        write_graphs(run.model, draft)
        run.subwords.save(draft)
        description = json.dumps(_description(run), indent=1, ensure_ascii=False)
        (draft / "config.json").write_text(description + "\n", encoding="utf-8")
        (draft / _PROGRAM).write_bytes((files("seq2attn.export") / _PROGRAM).read_bytes())

    build_once(folder, write)


@torch.enable_grad()
def write_graphs(model: Seq2Seq, folder: Path) -> None:
    """Write `encoder.onnx` and `decoder.onnx` of `model`, on a CPU and in evaluation mode, into `folder`."""
    # With gradients: without, models take shortcuts that depend on the values of tensors, which a graph cannot.
    small, large = (_Example(model, *sizes) for sizes in _EXAMPLES)
    step = _DecoderStep(model, small)
    read = _write_graph(step, folder / "decoder.onnx", small.decoder_inputs, large.decoder_inputs)
    encoder = _Encoder(model, small, read)
    _write_graph(encoder, folder / "encoder.onnx", small.encoder_inputs, large.encoder_inputs)


class _Example:
    """The inputs of both graphs, by name, for a batch of some size."""

    def __init__(self, model: Seq2Seq, batch: int, source_len: int, past_len: int) -> None:
        """`past_len`: number of target positions before the decoder's step."""
        self.encoder_inputs = {"source_ids": torch.full((batch, source_len), EOS_ID)}
        token_ids = torch.full((batch,), BOS_ID)
        memory = model.encode(self.encoder_inputs["source_ids"], torch.ones(batch, source_len, dtype=torch.bool))
        state = model.start(memory)
        for _ in range(past_len):
            _, state = model.advance(token_ids, state)
        self.position_dim = state.position_dim
        self.history = state.history
        self.decoder_inputs = {
            "token_ids": token_ids,
            **_memory_tensors(memory),
            **{f"state.{index}": tensor for index, tensor in enumerate(state.history)},
        }


class _Encoder(nn.Module):
    """From source ids to the memory, the state before the first token, and the encoder's attention weights."""

    def __init__(self, model: Seq2Seq, example: _Example, wanted: set[str]) -> None:
        """`wanted`: names of the decoder's inputs; the graph writes no others."""
        super().__init__()
        self.model, self.wanted = model, wanted
        self.position_dim = example.position_dim
        self.shapes = [tensor.shape for tensor in example.history]

    def forward(self, source_ids: Tensor) -> dict[str, Tensor]:
        """Tensors by name for `source_ids` (batch, source_len), where PAD is padding."""
        maps = AttentionMaps()
        memory = self.model.encode(source_ids, source_ids != PAD_ID, maps)
        history = self.model.start(memory).history or self._empty_history(memory)
        tensors = _memory_tensors(memory) | {f"state.{index}": tensor for index, tensor in enumerate(history)}
        kept = {name: tensor for name, tensor in tensors.items() if name in self.wanted}
        return kept | {f"encoder_attention.{index}": weights for index, weights in enumerate(maps.encoder)}

    def _empty_history(self, memory: Memory) -> tuple[Tensor, ...]:
        """The history of no positions, with the dimension that grows."""
        shapes = [
            [0 if dim == self.position_dim else size for dim, size in enumerate(shape)][1:] for shape in self.shapes
        ]
        return tuple(memory.states.new_zeros(memory.states.shape[0], *shape) for shape in shapes)


class _DecoderStep(nn.Module):
    """From a token, the memory and the state to the logits of the next token, the state after, and attention."""

    def __init__(self, model: Seq2Seq, example: _Example) -> None:
        super().__init__()
        self.model, self.position_dim = model, example.position_dim

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        """Tensors by name; weights are (batch, heads, keys) for each layer."""
        history = tuple(tensor for name, tensor in tensors.items() if name.startswith("state."))
        position = 0 if self.position_dim is None else history[0].shape[self.position_dim]
        state = DecoderState(_memory(tensors), history, position, self.position_dim)
        maps = AttentionMaps()
        logits, after = self.model.advance(tensors["token_ids"], state, maps)
        return {
            "logits": logits,
            **{f"new_state.{index}": tensor for index, tensor in enumerate(after.history)},
            **{f"cross_attention.{index}": weights[:, :, 0] for index, weights in enumerate(maps.cross)},
            **{f"decoder_attention.{index}": weights[:, :, 0] for index, weights in enumerate(maps.decoder)},
        }


class _Positional(nn.Module):
    """A graph with its tensors in order instead of by name, as the exporter wants them."""

    def __init__(self, graph: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.graph, self.names = graph, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The outputs in the order in which the graph names them."""
        return tuple(self.graph(**dict(zip(self.names, tensors, strict=True))).values())


def _memory_tensors(memory: Memory) -> dict[str, Tensor]:
    """The tensors of `memory` by name."""
    summary = {} if memory.summary is None else {"memory.summary": memory.summary}
    cached = {f"memory.cached.{index}": tensor for index, tensor in enumerate(memory.cached)}
    return {"memory.states": memory.states, "memory.source_valid": memory.source_valid, **summary, **cached}


def _memory(tensors: dict[str, Tensor]) -> Memory:
    """The memory whose parts `_memory_tensors` named."""
    cached = tuple(tensor for name, tensor in tensors.items() if name.startswith("memory.cached."))
    return Memory(tensors["memory.states"], tensors["memory.source_valid"], tensors.get("memory.summary"), cached)


def _write_graph(graph: nn.Module, file: Path, small: dict[str, Tensor], large: dict[str, Tensor]) -> set[str]:
    """Write `graph`, traced with the inputs `small`; dimensions that are others in `large` are left open.

    Returns: the names of the inputs that it reads; it has no others.
    """
    of_small, of_large = small | graph(**small), large | graph(**large)
    outputs = [name for name in of_small if name not in small]
    dynamic = {name: _dynamic_dimensions(tensor, of_large[name]) for name, tensor in of_small.items()}
    # The exporter that traces writes recurrent layers as ONNX's own, which take any length. It warns that PyTorch has
    # a newer one, which takes many times as long, and of numbers that it fixes; only widths are such numbers here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Positional(graph, list(small)).eval(),
            tuple(tensor.detach() for tensor in small.values()),
            str(file),
            input_names=list(small),
            output_names=outputs,
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
    return _drop_unused_inputs(file)


def _dynamic_dimensions(small: Tensor, large: Tensor) -> dict[int, str]:
    """The names of the dimensions in which the two differ."""
    sizes = enumerate(zip(small.shape, large.shape, strict=True))
    return {dim: _DIMENSIONS[pair] for dim, pair in sizes if pair[0] != pair[1]}


def _drop_unused_inputs(file: Path) -> set[str]:
    """Remove the inputs that no operator of the graph in `file` reads; the names of the others."""
    import onnx

    model = onnx.load(str(file))
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.input if tensor.name in used]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    return {tensor.name for tensor in kept}


def _description(run: TrainedRun) -> dict[str, Any]:
    """What a program needs in addition to the graphs, and what the model is."""
    config, env, names = run.config, run.folder.read_env(), file_names(run.subwords.joint)
    longest = run.model.max_target_len or sys.maxsize
    longest_source = min(config.decode.max_source_tokens, longest)
    longest_target = int(config.decode.max_length_ratio * longest_source) + _EXTRA_LENGTH
    return {
        "name": run.name,
        "source_language": env.get("source_language"),
        "target_language": env.get("target_language"),
        "seq2attn": seq2attn.__version__,
        "opset": OPSET,
        "model": config.model.model_dump(),
        "subwords": {"source": names[0], "target": names[-1]},
        "pad_id": PAD_ID,
        "bos_id": BOS_ID,
        "eos_id": EOS_ID,
        "max_source_tokens": longest_source,
        "max_target_tokens": min(longest_target, longest),
        "max_length_ratio": config.decode.max_length_ratio,
        "extra_length": _EXTRA_LENGTH,
    }
