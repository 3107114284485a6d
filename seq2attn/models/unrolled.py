"""The teacher-forced pass of stepwise decoders as one autograd function with a hand-written backward pass.

`RnnSeq2Seq._decode` in `rnn.py` defines what is computed, position by position; this module computes the same for all
positions of a batch, faster, for decoders with one recurrent layer:

- What does not depend on the decoder's state (the word's part of the cell's input) is one product before the loop.
- The backward loop computes gradients of states only. The gradient of each weight is one product over all positions
  after the loop, where autograd would add a small product per position.
- The backward loop recomputes the (batch, source_len, d_model) tensors of additive scores: cheaper than keeping them.

Tensors are time-major, (target_len, batch, …), so that a position is contiguous in memory. `d_x` is the gradient of x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2attn.models.attention import AdditiveAttention, Context, DotAttention
from seq2attn.models.cells import CELLS, complement_of_tanh, exponentials_of, softmax_backward
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

    hiddens: Tensor  # (1 + target_len, batch, units); the first one is the initial state
    contexts: Tensor  # (target_len, batch, units)
    weights: Tensor  # (target_len, batch, source_len)
    states: Tensor
    keys: Tensor
    w_query: Tensor
    v: Tensor
    w_context: Tensor
    w_recurrent: Tensor


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
        hidden, cell, states, keys, v = inputs.hidden, inputs.cell, inputs.states, inputs.keys, inputs.v
        target_len, batch, _ = inputs.from_words.shape
        hiddens = states.new_empty(target_len + 1, batch, hidden.shape[1])
        contexts = torch.empty_like(hiddens[1:])
        weights = states.new_empty(target_len, batch, keys.shape[1])
        hiddens[0] = hidden
        saved_by_position: list[tuple[Tensor, ...]] = []
        exponentials, w = exponentials_of(keys), torch.empty_like(keys)
        padding = ~source_valid
        for position in range(target_len):
            query = (hidden @ inputs.w_query.t())[:, None, :]
            scores = (complement_of_tanh(query, keys, exponentials, out=w) @ v).mul_(-2)
            torch.softmax(scores.masked_fill_(padding, float("-inf")), dim=-1, out=weights[position])
            torch.bmm(weights[position][:, None, :], states, out=contexts[position][:, None, :])
            from_input = torch.addmm(inputs.from_words[position], contexts[position], inputs.w_context.t())
            recurrent = torch.addmm(inputs.b_recurrent, hidden, inputs.w_recurrent.t())
            hidden, cell, saved = CELLS[kind].step(from_input, recurrent, hidden, cell)
            hiddens[position + 1] = hidden
            saved_by_position.append(saved)
        ctx.kind, ctx.saved_by_position = kind, saved_by_position
        fixed = (states, keys, inputs.w_query, v, inputs.w_context, inputs.w_recurrent)
        ctx.save_for_backward(*AdditiveSaved(hiddens, contexts, weights, *fixed))
        return hiddens[1:].clone(), contexts.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """No gradients of `kind` and `source_valid`, then those of `AdditiveInputs`."""
        d_hiddens, d_outer_contexts = upstream
        hiddens, contexts, weights, states, keys, w_query, v, w_context, w_recurrent = AdditiveSaved(*ctx.saved_tensors)
        target_len, batch, units = d_hiddens.shape
        d_inputs = d_hiddens.new_empty(target_len, batch, w_context.shape[0])
        d_recurrents = torch.empty_like(d_inputs)
        d_queries, d_contexts = torch.empty_like(d_hiddens), torch.empty_like(d_hiddens)
        d_v, d_tanh, slope = torch.zeros_like(v), torch.zeros_like(keys), torch.empty_like(keys)
        d_hidden = torch.zeros_like(hiddens[0])
        d_cell = torch.zeros_like(d_hidden) if ctx.kind == "lstm" else None
        exponentials, w = exponentials_of(keys), torch.empty_like(keys)
        for position in reversed(range(target_len)):
            saved = ctx.saved_by_position[position]
            gradients = CELLS[ctx.kind].step_backward(d_hidden + d_hiddens[position], d_cell, saved)
            d_inputs[position], d_recurrents[position] = gradients.d_input, gradients.d_recurrent
            d_cell = gradients.d_cell
            d_contexts[position] = d_context = torch.addmm(d_outer_contexts[position], gradients.d_input, w_context)
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
        d_all = AdditiveInputs(
            from_words=d_inputs,
            hidden=d_hidden,
            cell=d_cell,
            states=torch.bmm(weights.permute(1, 2, 0), d_contexts.transpose(0, 1)),
            keys=d_tanh * (4 * v),
            w_query=weight_gradient(d_queries, hiddens[:-1]),
            v=d_v,
            w_context=weight_gradient(d_inputs, contexts),
            w_recurrent=weight_gradient(d_recurrents, hiddens[:-1]),
            b_recurrent=d_recurrents.sum(dim=(0, 1)),
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

    hiddens: Tensor  # (1 + target_len, batch, units); the first one is the initial state
    attentional: Tensor  # (1 + target_len, batch, units); the first one is `fed`
    joined: Tensor  # (target_len, batch, 2 · units), [context; hidden state]
    weights: Tensor  # (target_len, batch, source_len)
    states: Tensor
    keys: Tensor
    w_fed: Tensor
    w_recurrent: Tensor
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
        hidden, cell, states, keys = inputs.hidden, inputs.cell, inputs.states, inputs.keys
        target_len, batch, _ = inputs.from_words.shape
        units = hidden.shape[1]
        hiddens, attentional = (states.new_empty(target_len + 1, batch, units) for _ in range(2))
        hiddens[0], attentional[0] = hidden, inputs.fed
        joined = states.new_empty(target_len, batch, 2 * units)
        weights = states.new_empty(target_len, batch, keys.shape[1])
        saved_by_position: list[tuple[Tensor, ...]] = []
        padding = ~source_valid
        for position in range(target_len):
            from_input = torch.addmm(inputs.from_words[position], attentional[position], inputs.w_fed.t())
            recurrent = torch.addmm(inputs.b_recurrent, hidden, inputs.w_recurrent.t())
            hidden, cell, saved = CELLS[kind].step(from_input, recurrent, hidden, cell)
            hiddens[position + 1] = hidden
            saved_by_position.append(saved)
            scores = torch.bmm(keys, hidden[:, :, None])[:, :, 0].masked_fill_(padding, float("-inf"))
            torch.softmax(scores, dim=-1, out=weights[position])
            joined[position, :, :units] = torch.bmm(weights[position][:, None, :], states)[:, 0]
            joined[position, :, units:] = hidden
            out = attentional[position + 1]
            torch.addmm(inputs.b_readout, joined[position], inputs.w_readout.t(), out=out).tanh_()
        ctx.kind, ctx.saved_by_position = kind, saved_by_position
        fixed = (states, keys, inputs.w_fed, inputs.w_recurrent, inputs.w_readout)
        ctx.save_for_backward(*InputFeedingSaved(hiddens, attentional, joined, weights, *fixed))
        return attentional[1:].clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """No gradients of `kind` and `source_valid`, then those of `InputFeedingInputs`."""
        (d_attentional,) = upstream
        saved = InputFeedingSaved(*ctx.saved_tensors)
        attentional, weights, states, keys = saved.attentional, saved.weights, saved.states, saved.keys
        target_len, batch, units = d_attentional.shape
        d_inputs = d_attentional.new_empty(target_len, batch, saved.w_fed.shape[0])
        d_recurrents = torch.empty_like(d_inputs)
        d_readouts, d_contexts = torch.empty_like(d_attentional), torch.empty_like(d_attentional)
        d_scores = torch.empty_like(weights)
        d_hidden, d_fed = (torch.zeros_like(saved.hiddens[0]) for _ in range(2))
        d_cell = torch.zeros_like(d_hidden) if ctx.kind == "lstm" else None
        for position in reversed(range(target_len)):
            out = attentional[position + 1]
            d_readout = (d_attentional[position] + d_fed) * (1 - out * out)
            d_readouts[position] = d_readout
            d_context, d_from_readout = (d_readout @ saved.w_readout).split(units, dim=1)
            d_contexts[position] = d_context
            d_score = softmax_backward(torch.bmm(states, d_context[:, :, None])[:, :, 0], weights[position])
            d_scores[position] = d_score
            d_hidden = d_hidden + d_from_readout + torch.bmm(d_score[:, None, :], keys)[:, 0]
            gradients = CELLS[ctx.kind].step_backward(d_hidden, d_cell, ctx.saved_by_position[position])
            d_inputs[position], d_recurrents[position] = gradients.d_input, gradients.d_recurrent
            d_cell = gradients.d_cell
            d_fed = gradients.d_input @ saved.w_fed
            d_hidden = gradients.d_recurrent @ saved.w_recurrent
            if gradients.d_hidden is not None:
                d_hidden += gradients.d_hidden
        d_all = InputFeedingInputs(
            from_words=d_inputs,
            hidden=d_hidden,
            cell=d_cell,
            fed=d_fed,
            states=torch.bmm(weights.permute(1, 2, 0), d_contexts.transpose(0, 1)),
            keys=torch.bmm(d_scores.permute(1, 2, 0), saved.hiddens[1:].transpose(0, 1)),
            w_fed=weight_gradient(d_inputs, attentional[:-1]),
            w_recurrent=weight_gradient(d_recurrents, saved.hiddens[:-1]),
            b_recurrent=d_recurrents.sum(dim=(0, 1)),
            w_readout=weight_gradient(d_readouts, saved.joined),
            b_readout=d_readouts.sum(dim=(0, 1)),
        )
        return None, None, *d_all
