"""The teacher-forced pass of stepwise decoders as one autograd function with a hand-written backward pass.

`RnnSeq2Seq._decode` in `rnn.py` defines what is computed, position by position; this module computes the same for all
positions of a batch, faster, for decoders with one recurrent layer:

- What does not depend on the decoder's state (the word's part of the cell's input) is one product before the loop.
- The backward loop computes gradients of states only. The gradient of each weight is one product over all positions
  after the loop, where autograd would add a small product per position.
- What does not depend on the gradients of states is computed of all positions together, before the backward loop.
- It recomputes the (batch, source_len, d_model) tensors of additive scores: cheaper than keeping them.

Tensors are time-major, (target_len, batch, …), so that a position is contiguous in memory. `d_x` is the gradient of x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2attn.models.attention import AdditiveAttention, Context, DotAttention
from seq2attn.models.cells import RECURRENCES, Recurrence, complement_of_tanh, exponentials_of, softmax_backward
from seq2attn.models.products import linear, weight_gradient
from seq2attn.models.seq2seq import DecoderState


def unroll(
    layer: nn.GRU | nn.LSTM, context: Context, readout: nn.Linear, embedded: Tensor, state: DecoderState
) -> Tensor:
    """Hidden states (batch, target_len, d_model) of a stepwise decoder with one `layer`.

    `embedded`: (batch, target_len, d_model), the target's words. `state`: before the first of them.
    """
    # Small products in sequence gain nothing from low precision, and errors would add up over the positions.
    with torch.autocast(embedded.device.type, enabled=False):
        kind = "lstm" if isinstance(layer, nn.LSTM) else "gru"
        memory, width, dtype = state.memory, embedded.shape[-1], readout.weight.dtype
        states, keys = memory.states.to(dtype), memory.cached[0].to(dtype)
        history = [part[:, 0].to(dtype) for part in state.history]
        hidden, cell = history[0], history[1] if kind == "lstm" else None
        w_input, w_recurrent, b_input, b_recurrent = layer.parameters()
        w_words, w_second = w_input.split(width, dim=1)
        from_words = linear(embedded.to(dtype).transpose(0, 1), w_words, b_input)
        if isinstance(context, AdditiveAttention):
            additive = AdditiveInputs(
                *(from_words, hidden, cell, states, keys),
                w_query=context.query_projection.weight,
                v=context.v,
                w_context=w_second,
                w_recurrent=w_recurrent,
                b_recurrent=b_recurrent,
            )
            run: Callable[..., tuple[Tensor, Tensor]] = AdditiveUnrolled.apply
            hiddens, contexts = run(kind, memory.source_valid, *additive)
            return torch.tanh(readout(torch.cat((contexts, hiddens), dim=-1))).transpose(0, 1)
        assert isinstance(context, DotAttention)
        feeding = InputFeedingInputs(
            *(from_words, hidden, cell, history[-1], states, keys * context.scale),
            w_fed=w_second,
            w_recurrent=w_recurrent,
            b_recurrent=b_recurrent,
            w_readout=readout.weight,
            b_readout=readout.bias,
        )
        feed: Callable[..., Tensor] = InputFeedingUnrolled.apply
        return feed(kind, memory.source_valid, *feeding).transpose(0, 1)


class AdditiveInputs(NamedTuple):
    """The differentiable inputs of `AdditiveUnrolled`; its backward pass returns their gradients in the same form."""

    from_words: Tensor  # (target_len, batch, gates · units), the word's part of the cell's input, with its bias
    hidden: Tensor  # (batch, units), before the first position
    cell: Tensor | None  # (batch, units), an LSTM's cell state before the first position; None for a GRU
    states: Tensor  # (batch, source_len, units)
    keys: Tensor  # (batch, source_len, units)
    w_query: Tensor  # (units, units)
    v: Tensor  # (units,)
    w_context: Tensor  # (gates · units, units)
    w_recurrent: Tensor  # (gates · units, units)
    b_recurrent: Tensor  # (gates · units,)


class AdditiveSaved(NamedTuple):
    """What the backward pass of `AdditiveUnrolled` needs: results of all positions, and inputs."""

    contexts: Tensor  # (target_len, batch, units)
    weights: Tensor  # (target_len, batch, source_len)
    states: Tensor
    keys: Tensor
    w_query: Tensor
    v: Tensor
    w_context: Tensor


class AdditiveUnrolled(torch.autograd.Function):
    """Cells fed with the context of additive attention over the state before (Bahdanau et al. 2015, appendix A.1.2).

    For each position:  weights = softmax(v · tanh(W_q h + keys)),  context = Σ weights · states,
    h, c = cell(from_words + W_c context, W_h h + b_h).
    """

    @staticmethod
    def forward(ctx: Any, kind: str, source_valid: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states and contexts of all positions, each (target_len, batch, units).

        `kind`: of the cell. `source_valid`: (batch, source_len). `tensors`: `AdditiveInputs`.
        """
        inputs = AdditiveInputs(*tensors)
        hidden, states, keys, v = inputs.hidden, inputs.states, inputs.keys, inputs.v
        target_len, batch, _ = inputs.from_words.shape
        cells = RECURRENCES[kind](target_len, hidden, inputs.cell, inputs.w_recurrent, inputs.b_recurrent)
        contexts = torch.empty_like(cells.hiddens[1:])
        weights = states.new_empty(target_len, batch, keys.shape[1])
        by_query, by_context = inputs.w_query.t().contiguous(), inputs.w_context.t().contiguous()
        exponentials, w = exponentials_of(keys), torch.empty_like(keys)
        padding = ~source_valid
        for position in range(target_len):
            query = (hidden @ by_query)[:, None, :]
            scores = (complement_of_tanh(query, keys, exponentials, out=w) @ v).mul_(-2)
            torch.softmax(scores.masked_fill_(padding, float("-inf")), dim=-1, out=weights[position])
            torch.bmm(weights[position][:, None, :], states, out=contexts[position][:, None, :])
            from_input = torch.addmm(inputs.from_words[position], contexts[position], by_context)
            hidden = cells.step(position, from_input)
        ctx.cells = cells
        ctx.save_for_backward(*AdditiveSaved(contexts, weights, states, keys, inputs.w_query, v, inputs.w_context))
        return cells.hiddens[1:].clone(), contexts.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """No gradients of `kind` and `source_valid`, then those of `AdditiveInputs`."""
        d_hiddens, d_outer_contexts = upstream
        contexts, weights, states, keys, w_query, v, w_context = AdditiveSaved(*ctx.saved_tensors)
        cells: Recurrence = ctx.cells
        cells.start_backward()
        units, hiddens = d_hiddens.shape[2], cells.hiddens
        d_queries, d_contexts = torch.empty_like(d_hiddens), torch.empty_like(d_hiddens)
        d_v, d_tanh, slope = torch.zeros_like(v), torch.zeros_like(keys), torch.empty_like(keys)
        d_hidden, zeros = d_hiddens[-1], torch.zeros_like(d_hiddens[0])
        exponentials, w = exponentials_of(keys), torch.empty_like(keys)
        queries = hiddens[:-1] @ w_query.t()
        for position in reversed(range(len(d_hiddens))):
            d_hidden = cells.step_backward(position, d_hidden, d_hiddens[position - 1] if position else zeros)
            d_contexts[position] = d_context = torch.addmm(
                d_outer_contexts[position], cells.d_input[position], w_context
            )
            d_score = softmax_backward(torch.bmm(states, d_context[:, :, None])[:, :, 0], weights[position])
            complement_of_tanh(queries[position][:, None, :], keys, exponentials, out=w)
            d_v.addmv_(w.view(-1, units).t(), d_score.flatten(), alpha=-2)
            torch.addcmul(w, w, w, value=-1, out=slope)
            d_queries[position] = torch.bmm(d_score[:, None, :], slope)[:, 0]
            d_tanh.addcmul_(slope, d_score[:, :, None])
            d_queries[position] *= 4 * v
            d_hidden = torch.addmm(d_hidden, d_queries[position], w_query)
        d_inputs, d_w_recurrent, d_b_recurrent = cells.gradients()
        d_all = AdditiveInputs(
            from_words=d_inputs,
            hidden=d_hidden,
            cell=cells.d_cell,
            states=torch.bmm(weights.permute(1, 2, 0), d_contexts.transpose(0, 1)),
            keys=d_tanh * (4 * v),
            w_query=weight_gradient(d_queries, hiddens[:-1]),
            v=d_v,
            w_context=weight_gradient(d_inputs, contexts),
            w_recurrent=d_w_recurrent,
            b_recurrent=d_b_recurrent,
        )
        return None, None, *d_all


class InputFeedingInputs(NamedTuple):
    """The same for `InputFeedingUnrolled`; fields that `AdditiveInputs` also has have the same shapes."""

    from_words: Tensor
    hidden: Tensor
    cell: Tensor | None
    fed: Tensor  # (batch, units), the attentional vector before the first position
    states: Tensor
    keys: Tensor  # (batch, source_len, units), multiplied by the score's scale
    w_fed: Tensor  # (gates · units, units)
    w_recurrent: Tensor
    b_recurrent: Tensor
    w_readout: Tensor  # (units, 2 · units)
    b_readout: Tensor  # (units,)


class InputFeedingSaved(NamedTuple):
    """What the backward pass of `InputFeedingUnrolled` needs: results of all positions, and inputs."""

    attentional: Tensor  # (1 + target_len, batch, units); the first one is `fed`
    contexts: Tensor  # (target_len, batch, units)
    weights: Tensor  # (target_len, batch, source_len)
    states: Tensor
    keys: Tensor
    w_fed: Tensor
    w_readout: Tensor


class InputFeedingUnrolled(torch.autograd.Function):
    """Cells fed with the attentional vector of the position before (Luong et al. 2015, section 3.3).

    For each position:  h, c = cell(from_words + W_f fed, W_h h + b_h),  weights = softmax(h · keys),
    context = Σ weights · states,  fed = tanh(W_r [context; h] + b_r).
    """

    @staticmethod
    def forward(ctx: Any, kind: str, source_valid: Tensor, *tensors: Tensor) -> Tensor:
        """Attentional vectors of all positions, (target_len, batch, units).

        `kind`: of the cell. `source_valid`: (batch, source_len). `tensors`: `InputFeedingInputs`.
        """
        inputs = InputFeedingInputs(*tensors)
        states, keys = inputs.states, inputs.keys
        target_len, batch, _ = inputs.from_words.shape
        cells = RECURRENCES[kind](target_len, inputs.hidden, inputs.cell, inputs.w_recurrent, inputs.b_recurrent)
        attentional = torch.empty_like(cells.hiddens)
        attentional[0] = inputs.fed
        contexts = torch.empty_like(attentional[1:])
        weights = states.new_empty(target_len, batch, keys.shape[1])
        padding = states.new_zeros(source_valid.shape).masked_fill_(~source_valid, float("-inf"))[:, :, None]
        by_fed, by_readout = inputs.w_fed.t().contiguous(), inputs.w_readout.t().contiguous()
        by_context, by_hidden = by_readout.chunk(2)
        for position in range(target_len):
            from_input = torch.addmm(inputs.from_words[position], attentional[position], by_fed)
            hidden = cells.step(position, from_input)
            scores = torch.baddbmm(padding, keys, hidden[:, :, None])[:, :, 0]
            torch.softmax(scores, dim=-1, out=weights[position])
            torch.bmm(weights[position][:, None, :], states, out=contexts[position][:, None, :])
            from_context = torch.addmm(inputs.b_readout, contexts[position], by_context)
            torch.addmm(from_context, hidden, by_hidden, out=attentional[position + 1]).tanh_()
        ctx.cells = cells
        fixed = (states, keys, inputs.w_fed, inputs.w_readout)
        ctx.save_for_backward(*InputFeedingSaved(attentional, contexts, weights, *fixed))
        return attentional[1:].clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """No gradients of `kind` and `source_valid`, then those of `InputFeedingInputs`."""
        (d_attentional,) = upstream
        attentional, contexts, weights, states, keys, w_fed, w_readout = InputFeedingSaved(*ctx.saved_tensors)
        cells: Recurrence = ctx.cells
        cells.start_backward()
        target_len, batch, units = d_attentional.shape
        # Of all positions the derivative of tanh, until the gradient of its output multiplies it.
        d_readouts = 1 - attentional[1:] * attentional[1:]
        d_joined = d_attentional.new_empty(target_len, batch, 2 * units)
        d_contexts, d_from_readout = d_joined.chunk(2, dim=2)
        d_scores = torch.empty_like(weights)
        d_hidden, d_fed, zeros = (torch.zeros_like(attentional[0]) for _ in range(3))
        for position in reversed(range(target_len)):
            d_readout = d_readouts[position].mul_(d_attentional[position] + d_fed)
            torch.mm(d_readout, w_readout, out=d_joined[position])
            d_weights = torch.bmm(states, d_contexts[position][:, :, None])[:, :, 0]
            d_scores[position] = d_score = softmax_backward(d_weights, weights[position])
            d_hidden += d_from_readout[position]
            d_hidden = torch.baddbmm(d_hidden[:, None, :], d_score[:, None, :], keys)[:, 0]
            d_hidden = cells.step_backward(position, d_hidden, zeros)
            d_fed = cells.d_input[position] @ w_fed
        d_inputs, d_w_recurrent, d_b_recurrent = cells.gradients()
        w_contexts, w_hiddens = (weight_gradient(d_readouts, rows) for rows in (contexts, cells.hiddens[1:]))
        d_all = InputFeedingInputs(
            from_words=d_inputs,
            hidden=d_hidden,
            cell=cells.d_cell,
            fed=d_fed,
            states=torch.bmm(weights.permute(1, 2, 0), d_contexts.transpose(0, 1)),
            keys=torch.bmm(d_scores.permute(1, 2, 0), cells.hiddens[1:].transpose(0, 1)),
            w_fed=weight_gradient(d_inputs, attentional[:-1]),
            w_recurrent=d_w_recurrent,
            b_recurrent=d_b_recurrent,
            w_readout=torch.cat((w_contexts, w_hiddens), dim=1),
            b_readout=d_readouts.sum(dim=(0, 1)),
        )
        return None, None, *d_all
