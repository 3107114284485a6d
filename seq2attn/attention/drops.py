"""How much less probable a translation's tokens become when a look is forbidden, or a source word is left out"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from seq2attn.attention.maps import Drops, Values
from seq2attn.data.batch import Ids, collate
from seq2attn.data.subwords import BOS_ID, EOS_ID
from seq2attn.models.seq2seq import DecoderState, Seq2Seq


@torch.inference_mode()
def measure_drops(model: Seq2Seq, source: Ids, written: Ids, word_of: Sequence[int], n_heads: Sequence[int]) -> Drops:
    """The drops for each token of `written`, with the tokens before it as the decoder's input.

    A look is forbidden as in `seq2attn play`: its score is −∞, so the other weights are renormalised. It is forbidden
    in the one step that writes the token: what the decoder knows from earlier steps stays as it is.

    Args:
        model: in evaluation mode; a fixed context has no looks.
        source: ids with EOS at the end.
        written: ids, with EOS at the end unless the translation was cut off.
        word_of: for each source id but EOS the index of its word.
        n_heads: of each decoder layer's attention to the source; (1,) for an RNN.
    """
    members = _members(word_of, len(source)).to(model.output_bias.device)
    n_words = len(members)
    forbidden = _forbidden_looks(~members, n_heads)
    device = members.device
    ids = torch.as_tensor(np.asarray(source), device=device)[None]
    state = model.start(model.encode(ids, torch.ones_like(ids, dtype=torch.bool)))
    before: list[float] = []
    after: list[list[Tensor]] = []
    for read, token in zip([BOS_ID, *written[:-1]], written, strict=True):
        token_read = torch.tensor([int(read)], device=device)
        after.append([_probabilities(model, token_read, state, looks)[:, int(token)] for looks in forbidden])
        logits, state = model.advance(token_read, state)
        before.append(float(logits.log_softmax(dim=-1)[0, int(token)]))
    clean = np.array(before)[:, None]
    drops = [clean - np.stack([row[place].cpu().numpy() for row in after]) for place in range(len(forbidden))]
    layers, heads = drops[1::2], drops[2::2]
    return Drops(
        drops[0],
        tuple(layers),
        tuple(part.reshape(len(clean), n, n_words).transpose(1, 0, 2) for part, n in zip(heads, n_heads, strict=True)),
        clean - _without_each_word(model, source, written, word_of),
    )


def _members(word_of: Sequence[int], source_len: int) -> Tensor:
    """(source words, source_len) True where the token is part of the word; EOS is part of none."""
    members = torch.zeros(max(word_of) + 1, source_len, dtype=torch.bool)
    members[list(word_of), list(range(len(word_of)))] = True
    return members


def _forbidden_looks(allowed: Tensor, n_heads: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """`Memory.visible` with every look forbidden; then for each layer with its looks, and with those of each head.

    `allowed`: (source words, source_len) False where the token is part of the word. Rows of the last kind are heads,
    and within each the words.
    """
    n_words, source_len = allowed.shape
    free = [allowed.new_ones(1, n, source_len) for n in n_heads]
    found = [tuple(allowed[:, None].expand(-1, n, -1) for n in n_heads)]
    for layer, n in enumerate(n_heads):
        of_one_head = allowed.new_ones(n, n, n_words, source_len)  # (forbidden head, heads, words, source_len)
        of_one_head[range(n), range(n)] = allowed
        for looks in (allowed[:, None].expand(-1, n, -1), of_one_head.transpose(1, 2).flatten(0, 1)):
            others = [rest.expand(len(looks), -1, -1) for rest in free]
            found.append((*others[:layer], looks, *others[layer + 1 :]))
    return found


def _probabilities(model: Seq2Seq, read: Tensor, state: DecoderState, looks: tuple[Tensor, ...]) -> Tensor:
    """(rows, vocab_size) log-probabilities of the token after `read` (1,), with a row for each of `looks`."""
    rows = torch.zeros(len(looks[0]), dtype=torch.int64, device=read.device)
    repeated = state.select(rows)
    logits, _ = model.advance(read[rows], replace(repeated, memory=replace(repeated.memory, visible=looks)))
    return logits.log_softmax(dim=-1)


def _without_each_word(model: Seq2Seq, source: Ids, written: Ids, word_of: Sequence[int]) -> Values:
    """Log-probabilities (tokens, source words) of `written` where the source lacks the word."""
    words = range(max(word_of) + 1)
    sources = [
        [int(token) for token, word in zip(source, (*word_of, -1), strict=True) if word != left] for left in words
    ]
    target = [int(token) for token in written if token != EOS_ID]
    batch = collate(sources, [target for _ in words]).to(model.output_bias.device)
    probabilities = model.project(model(batch)).log_softmax(dim=-1)
    picked = probabilities.gather(2, batch.target_output[..., None])[..., 0]
    return picked[:, : len(written)].T.cpu().numpy()
