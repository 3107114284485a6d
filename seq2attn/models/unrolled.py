"""The teacher-forced pass of the stepwise decoders as one autograd function, backward by hand.

`RnnSeq2Seq._read` in `rnn.py` says what is computed, a position at a time; this file computes the same for all
positions of a batch, faster, for one layer of cells:

- what does not depend on the state (the word's part of the cell's input) is one product before the loop;
- the backward loop computes the gradients of states alone; each weight's gradient is one product over all positions
  after it, where autograd would add one small product a position;
- the tensors of additive attention (batch, source_len, d_model) are computed again in the backward loop, which costs
  less than to keep them for every position.

Tensors are time-major, (target_len, batch, …), so that a position is contiguous. Gradients are named `d_` and what
they belong to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2attn.models.attention import AdditiveAttention, Context, DotAttention, complement_of_tanh, exponentials_of
from seq2attn.models.cells import CELLS
from seq2attn.models.seq2seq import DecoderState


def unroll(
    layer: nn.GRU | nn.LSTM, context: Context, readout: nn.Linear, embedded: Tensor, state: DecoderState
) -> Tensor:
    """Hidden states (batch, target_len, d_model) of a stepwise decoder with one `layer` over `embedded` words."""
    # Small products in sequence gain nothing from low precision, and errors would add up over the steps.
    with torch.autocast(embedded.device.type, enabled=False):
        return _unroll(layer, context, readout, embedded, state)


def _unroll(
    layer: nn.GRU | nn.LSTM, context: Context, readout: nn.Linear, embedded: Tensor, state: DecoderState
) -> Tensor:
    kind = "lstm" if isinstance(layer, nn.LSTM) else "gru"
    memory, width, dtype = state.memory, embedded.shape[-1], readout.weight.dtype
    states, keys = memory.states.to(dtype), memory.projected[0].to(dtype)
    history = [part[:, 0].to(dtype) for part in state.history]
    hidden, cell = history[0], history[1 if kind == "lstm" else 0]
    w_input, w_recurrent, b_input, b_recurrent = layer.parameters()
    w_words, w_second = w_input.split(width, dim=1)
    from_words = F.linear(embedded.to(dtype).transpose(0, 1), w_words, b_input)
    padding = ~memory.source_valid
    recurrent = (w_recurrent, b_recurrent)
    if isinstance(context, AdditiveAttention):
        w_query, v = context.query_projection.weight, context.v
        run: Callable[..., tuple[Tensor, Tensor]] = AdditiveUnrolled.apply
        inputs = (from_words, hidden, cell, states, padding, keys, w_query, v, w_second, *recurrent)
        hiddens, contexts = run(kind, *inputs)
        return torch.tanh(readout(torch.cat((contexts, hiddens), dim=-1))).transpose(0, 1)
    assert isinstance(context, DotAttention)
    feed: Callable[..., Tensor] = InputFeedingUnrolled.apply
    weights = (w_second, *recurrent, readout.weight, readout.bias)
    attentional = feed(kind, from_words, hidden, cell, history[-1], states, padding, keys * context.scale, *weights)
    return attentional.transpose(0, 1)


class AdditiveUnrolled(torch.autograd.Function):
    """Cells fed with the context of additive attention over the state before (Bahdanau et al. 2015).

    For each position:  weights = softmax(v · tanh(W_q h + keys)),  context = Σ weights · states,
    h, c = cell(from_words + W_x context, W_h h + b_h).
    """

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        from_words: Tensor,
        hidden: Tensor,
        cell: Tensor,
        states: Tensor,
        padding: Tensor,
        keys: Tensor,
        w_query: Tensor,
        v: Tensor,
        w_context: Tensor,
        w_recurrent: Tensor,
        b_recurrent: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Hidden states and contexts of all positions, each (target_len, batch, units).

        from_words: (target_len, batch, gates · units), the word's part of the cell's input, with its bias.
        hidden, cell: (batch, units), before the first position. states, keys: (batch, source_len, units).
        padding: (batch, source_len), True where there is no token.
        """
        step, _ = CELLS[kind]
        target_len, batch, _ = from_words.shape
        hiddens = states.new_empty(target_len + 1, batch, hidden.shape[1])
        contexts = torch.empty_like(hiddens[1:])
        weights = states.new_empty(target_len, batch, keys.shape[1])
        hiddens[0] = hidden
        saved: list[tuple[Tensor, ...]] = []
        exponentials, w = exponentials_of(keys), torch.empty_like(keys)
        for position in range(target_len):
            query = (hidden @ w_query.t())[:, None, :]
            scores = (
                (complement_of_tanh(query, keys, exponentials, out=w) @ v).mul_(-2).masked_fill_(padding, float("-inf"))
            )
            torch.softmax(scores, dim=-1, out=weights[position])
            torch.bmm(weights[position][:, None, :], states, out=contexts[position][:, None, :])
            from_input = torch.addmm(from_words[position], contexts[position], w_context.t())
            hidden, cell, kept = step(from_input, torch.addmm(b_recurrent, hidden, w_recurrent.t()), hidden, cell)
            hiddens[position + 1] = hidden
            saved.append(kept)
        ctx.kind, ctx.saved = kind, saved
        ctx.save_for_backward(hiddens, contexts, weights, states, keys, w_query, v, w_context, w_recurrent)
        return hiddens[1:].clone(), contexts.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of everything that `forward` takes but the kind and the padding."""
        d_hiddens, d_outer_contexts = upstream
        hiddens, contexts, weights, states, keys, w_query, v, w_context, w_recurrent = ctx.saved_tensors
        _, step_backward = CELLS[ctx.kind]
        target_len, batch, units = d_hiddens.shape
        d_inputs = d_hiddens.new_empty(target_len, batch, w_context.shape[0])
        d_recurrents = torch.empty_like(d_inputs)
        d_queries, d_contexts = torch.empty_like(d_hiddens), torch.empty_like(d_hiddens)
        d_v, d_tanh, slope = torch.zeros_like(v), torch.zeros_like(keys), torch.empty_like(keys)
        d_hidden, d_cell = torch.zeros_like(hiddens[0]), torch.zeros_like(hiddens[0])
        exponentials, w = exponentials_of(keys), torch.empty_like(keys)
        for position in reversed(range(target_len)):
            gradients = step_backward(d_hidden + d_hiddens[position], d_cell, ctx.saved[position])
            d_inputs[position], d_recurrents[position] = gradients.d_input, gradients.d_recurrent
            d_cell = gradients.d_cell
            d_context = torch.addmm(d_outer_contexts[position], gradients.d_input, w_context)
            d_contexts[position] = d_context
            d_score = softmax_backward(torch.bmm(states, d_context[:, :, None])[:, :, 0], weights[position])
            query = (hiddens[position] @ w_query.t())[:, None, :]
            complement_of_tanh(query, keys, exponentials, out=w)
            d_v.addmv_(w.view(-1, units).t(), d_score.flatten(), alpha=-2)
            torch.addcmul(w, w, w, value=-1, out=slope)
            d_queries[position] = torch.bmm(d_score[:, None, :], slope)[:, 0]
            d_tanh.addcmul_(slope, d_score[:, :, None])
            d_queries[position] *= 4 * v
            d_hidden = torch.addmm(d_queries[position] @ w_query, gradients.d_recurrent, w_recurrent)
            if gradients.d_hidden is not None:
                d_hidden += gradients.d_hidden
        before = hiddens[:target_len]
        return (
            None,
            d_inputs,
            d_hidden,
            d_cell,
            torch.bmm(weights.permute(1, 2, 0), d_contexts.transpose(0, 1)),
            None,
            d_tanh * (4 * v),
            _product(d_queries, before),
            d_v,
            _product(d_inputs, contexts),
            _product(d_recurrents, before),
            d_recurrents.sum(dim=(0, 1)),
        )


class InputFeedingUnrolled(torch.autograd.Function):
    """Cells fed with the attentional vector of the position before (Luong et al. 2015, section 3.3).

    For each position:  h, c = cell(from_words + W_x fed, W_h h + b_h),  weights = softmax(h · keys),
    context = Σ weights · states,  fed = tanh(W_r [context; h] + b_r).
    """

    @staticmethod
    def forward(
        ctx: Any,
        kind: str,
        from_words: Tensor,
        hidden: Tensor,
        cell: Tensor,
        fed: Tensor,
        states: Tensor,
        padding: Tensor,
        keys: Tensor,
        w_fed: Tensor,
        w_recurrent: Tensor,
        b_recurrent: Tensor,
        w_readout: Tensor,
        b_readout: Tensor,
    ) -> Tensor:
        """Attentional vectors of all positions, (target_len, batch, units).

        Shapes as in `AdditiveUnrolled`; `fed` (batch, units) before the first position; `keys` with the score's
        scale in them; w_readout: (units, 2 · units).
        """
        step, _ = CELLS[kind]
        target_len, batch, _ = from_words.shape
        units = hidden.shape[1]
        hiddens, attentional = (states.new_empty(target_len + 1, batch, units) for _ in range(2))
        hiddens[0], attentional[0] = hidden, fed
        joined = states.new_empty(target_len, batch, 2 * units)
        weights = states.new_empty(target_len, batch, keys.shape[1])
        saved: list[tuple[Tensor, ...]] = []
        for position in range(target_len):
            from_input = torch.addmm(from_words[position], attentional[position], w_fed.t())
            hidden, cell, kept = step(from_input, torch.addmm(b_recurrent, hidden, w_recurrent.t()), hidden, cell)
            hiddens[position + 1] = hidden
            saved.append(kept)
            scores = torch.bmm(keys, hidden[:, :, None])[:, :, 0].masked_fill_(padding, float("-inf"))
            torch.softmax(scores, dim=-1, out=weights[position])
            joined[position, :, :units] = torch.bmm(weights[position][:, None, :], states)[:, 0]
            joined[position, :, units:] = hidden
            torch.addmm(b_readout, joined[position], w_readout.t(), out=attentional[position + 1]).tanh_()
        ctx.kind, ctx.saved = kind, saved
        ctx.save_for_backward(hiddens, attentional, joined, weights, states, keys, w_fed, w_recurrent, w_readout)
        return attentional[1:].clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of everything that `forward` takes but the kind and the padding."""
        (d_attentional,) = upstream
        hiddens, attentional, joined, weights, states, keys, w_fed, w_recurrent, w_readout = ctx.saved_tensors
        _, step_backward = CELLS[ctx.kind]
        target_len, batch, units = d_attentional.shape
        d_inputs = d_attentional.new_empty(target_len, batch, w_fed.shape[0])
        d_recurrents = torch.empty_like(d_inputs)
        d_readouts, d_contexts = torch.empty_like(d_attentional), torch.empty_like(d_attentional)
        d_scores = torch.empty_like(weights)
        d_hidden, d_cell, d_fed = (torch.zeros_like(hiddens[0]) for _ in range(3))
        for position in reversed(range(target_len)):
            out = attentional[position + 1]
            d_readout = (d_attentional[position] + d_fed) * (1 - out * out)
            d_readouts[position] = d_readout
            d_context, d_from_readout = (d_readout @ w_readout).split(units, dim=1)
            d_contexts[position] = d_context
            d_score = softmax_backward(torch.bmm(states, d_context[:, :, None])[:, :, 0], weights[position])
            d_scores[position] = d_score
            d_hidden = d_hidden + d_from_readout + torch.bmm(d_score[:, None, :], keys)[:, 0]
            gradients = step_backward(d_hidden, d_cell, ctx.saved[position])
            d_inputs[position], d_recurrents[position] = gradients.d_input, gradients.d_recurrent
            d_cell = gradients.d_cell
            d_fed = gradients.d_input @ w_fed
            d_hidden = gradients.d_recurrent @ w_recurrent
            if gradients.d_hidden is not None:
                d_hidden += gradients.d_hidden
        return (
            None,
            d_inputs,
            d_hidden,
            d_cell,
            d_fed,
            torch.bmm(weights.permute(1, 2, 0), d_contexts.transpose(0, 1)),
            None,
            torch.bmm(d_scores.permute(1, 2, 0), hiddens[1:].transpose(0, 1)),
            _product(d_inputs, attentional[:target_len]),
            _product(d_recurrents, hiddens[:target_len]),
            d_recurrents.sum(dim=(0, 1)),
            _product(d_readouts, joined),
            d_readouts.sum(dim=(0, 1)),
        )


def softmax_backward(d_weights: Tensor, weights: Tensor) -> Tensor:
    """The gradient of scores (batch, source_len) from that of their softmax `weights`."""
    weighted = weights * d_weights
    return torch.addcmul(weighted, weights, weighted.sum(dim=1, keepdim=True), value=-1)


def _product(d_outputs: Tensor, inputs: Tensor) -> Tensor:
    """The gradient of a weight: Σ over positions and batch of d_output ⊗ input."""
    return d_outputs.flatten(0, 1).t() @ inputs.flatten(0, 1)
