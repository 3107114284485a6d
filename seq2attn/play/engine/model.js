// What both kinds of model share: embeddings, and what a reader of the page changes.
//
// A model has encode(ids, control) → memory, start(memory) → state, and advance(tokens, state, memory, control) →
// { logits, state, maps }, where tokens and logits have a row for each hypothesis, and maps[row] holds
// { cross, decoder }: the weights of that step by layer and head. memory.maps: those of the encoder.
"use strict";

class Embeddings {
  constructor(config, weights) {
    this.source = weights.matrix("embeddings.source.weight");
    this.target = weights.matrix("embeddings.target.weight");
    this.output = weights.matrix("output_weight");
    this.bias = weights.vector("output_bias");
    this.scale = Math.sqrt(config.d_model);
  }

  ofSource(ids) {
    return map(this.source.select(ids), (value) => value * this.scale);
  }

  ofTarget(ids) {
    return map(this.target.select(ids), (value) => value * this.scale);
  }

  logits(hidden) {
    return linear(hidden, this.output, this.bias);
  }
}

/** Switches of heads, and forbidden looks. */
class Control {
  /**
   * `gates[kind][layer][head]`: factor of the head's context, before the output projection; kinds are encoder, cross
   * and decoder, and a missing factor is 1. An RNN's attention is head 0 of layer 0 of cross.
   * `forbidden`: positions of the source that no cross-attention looks at; the other weights are renormalised.
   */
  constructor({ gates = {}, forbidden = [] } = {}) {
    this.gates = gates;
    this.forbidden = forbidden;
  }

  gate(kind, layer, head) {
    return this.gates[kind]?.[layer]?.[head] ?? 1;
  }

  /** `scores` of the source's positions, with −∞ for forbidden ones. */
  forbid(scores) {
    for (const position of this.forbidden) scores[position] = -Infinity;
    return scores;
  }

  /** Throws where a sentence of `length` positions has none left to look at. */
  check(length) {
    const inside = new Set(this.forbidden.filter((position) => position < length));
    if (inside.size >= length) throw new RangeError("every position of the source is forbidden; allow at least one");
  }
}

/** The model of a description and its weights, bytes. `plain`: without WebAssembly. */
function buildModel({ model, tensors }, bytes, plain = false) {
  const weights = new Weights(tensors, bytes, plain);
  return new { rnn: Rnn, transformer: Transformer }[model.kind](model, weights);
}
