// The transformer of models/transformer.py, for one sentence and several hypotheses of its translation.
"use strict";

const BASE = 10000; // of the wavelengths of sinusoidal and rotary positions

/** What `model.positions` adds to embeddings and to scores of self-attention, and rotates (models/positions.py). */
class Positions {
  constructor(config, weights) {
    this.scheme = config.positions;
    const width = this.scheme === "rotary" ? config.d_model / config.n_heads : config.d_model;
    this.frequencies = Float32Array.from({ length: width / 2 }, (_, index) => BASE ** (-2 * index / width));
    this.table = weights.matrix("positions.weight");
    const slope = (shift) => (_, head) => 2 ** (-8 * (head + 1 - shift) / config.n_heads);
    this.before = Float32Array.from({ length: config.n_heads }, slope(0));
    this.after = Float32Array.from({ length: config.n_heads }, slope(0.5));
  }

  angle(position, index) {
    return Math.fround(position * this.frequencies[index]);
  }

  /** Adds the vector of `position` to the embedding `row`. */
  addTo(row, position) {
    if (this.scheme === "learned") {
      if (position >= this.table.rows) throw new RangeError(`a sentence of more than ${this.table.rows} subwords`);
      this.table.row(position).forEach((value, index) => { row[index] += value; });
    } else if (this.scheme === "sinusoidal") {
      for (let index = 0; index < this.frequencies.length; index++) {
        row[2 * index] += Math.sin(this.angle(position, index));
        row[2 * index + 1] += Math.cos(this.angle(position, index));
      }
    }
  }

  /** Rotates each pair of features of `row`, the queries or keys of all heads at `position`. */
  rotate(row, position) {
    if (this.scheme !== "rotary") return;
    const half = this.frequencies.length;
    const cosines = this.frequencies.map((_, index) => Math.cos(this.angle(position, index)));
    const sines = this.frequencies.map((_, index) => Math.sin(this.angle(position, index)));
    for (let pair = 0; pair < row.length / 2; pair++) {
      const x = row[2 * pair], y = row[2 * pair + 1], cosine = cosines[pair % half], sine = sines[pair % half];
      row[2 * pair] = x * cosine - y * sine;
      row[2 * pair + 1] = x * sine + y * cosine;
    }
  }

  /** What is added to the score of a query and a key of self-attention. */
  bias(head, query, key) {
    if (this.scheme !== "alibi") return 0;
    return query > key ? -this.before[head] * (query - key) : this.after[head] * (query - key);
  }
}

class MultiHeadAttention {
  constructor(config, weights, name, kind, layer) {
    this.kind = kind;
    this.layer = layer;
    // Numbers of its heads, from 0; a pruned attention lacks some.
    this.heads = config.kept_heads?.[kind][layer].map((head) => head - 1)
      ?? Array.from({ length: config.n_heads }, (_, head) => head);
    this.query = weights.layer(`${name}.query_projection`);
    this.keyValue = weights.layer(`${name}.key_value_projection`);
    this.output = weights.layer(`${name}.output_projection`);
    this.gate = weights.vector(`${name}.gate`);
    this.scale = config.attention === "dot" ? 1 : 1 / Math.sqrt(config.d_model / config.n_heads);
  }

  /** { keys, values } of the rows of `states`, arrays of vectors. */
  keysAndValues(states) {
    const joined = rowsOf(linear(states, this.keyValue.weight, this.keyValue.bias));
    return {
      keys: joined.map((row) => row.subarray(0, row.length / 2)),
      values: joined.map((row) => row.subarray(row.length / 2)),
    };
  }

  queries(inputs) {
    return linear(inputs, this.query.weight, this.query.bias);
  }

  /** The contexts of `query`, head beside head in `context`, which holds zeros; returns the weights of each head. */
  attend(query, { keys, values }, context, control, bias = null) {
    const width = query.length / this.heads.length;
    return this.heads.map((number, head) => {
      const start = head * width, end = start + width;
      const scores = Float32Array.from(keys, (key, place) => (
        dot(query, key, start, end) * this.scale + (bias ? bias(number, place) : 0)
      ));
      const weights = softmax(this.kind === "cross" ? control.forbid(scores) : scores);
      const gate = control.gate(this.kind, this.layer, head) * (this.gate ? this.gate[head] : 1);
      addContext(context, weights, values, gate, start, end);
      return weights;
    });
  }

  project(contexts) {
    return linear(contexts, this.output.weight, this.output.bias);
  }
}

/** A sub-layer with its residual connection and norm, before (`pre`) or after it. */
class Residual {
  constructor(config, weights, name) {
    this.norm = weights.norm(`${name}.norm`);
    this.pre = config.norm === "pre";
  }

  around(states, compute) {
    if (this.pre) return add(states, compute(layerNorm(states, this.norm)));
    return layerNorm(add(states, compute(states)), this.norm);
  }
}

class FeedForward {
  constructor(weights, name) {
    this.expand = weights.layer(`${name}.expand`);
    this.contract = weights.layer(`${name}.contract`);
  }

  compute(inputs) {
    const expanded = linear(inputs, this.expand.weight, this.expand.bias);
    return linear(map(expanded, (value) => Math.max(0, value)), this.contract.weight, this.contract.bias);
  }
}

class EncoderLayer {
  constructor(config, weights, index) {
    const name = `encoder.${index}`;
    this.attention = new MultiHeadAttention(config, weights, `${name}.self_attention`, "encoder", index);
    this.feedForward = new FeedForward(weights, `${name}.feed_forward`);
    this.aroundSelf = new Residual(config, weights, `${name}.around_self`);
    this.aroundFeedForward = new Residual(config, weights, `${name}.around_feed_forward`);
  }

  /** New states; sets `weights` of each head, a matrix (source × source), in `maps`. */
  compute(states, positions, control, maps) {
    const attended = this.aroundSelf.around(states, (inputs) => {
      const queries = this.attention.queries(inputs), source = this.attention.keysAndValues(inputs);
      source.keys.forEach((key, position) => positions.rotate(key, position));
      const contexts = new Matrix(states.rows, queries.width);
      const rows = rowsOf(queries).map((query, position) => {
        positions.rotate(query, position);
        const bias = (head, key) => positions.bias(head, position, key);
        return this.attention.attend(query, source, contexts.row(position), control, bias);
      });
      maps.push(rows[0].map((_, head) => Matrix.of(rows.map((heads) => heads[head]))));
      return this.attention.project(contexts);
    });
    return this.aroundFeedForward.around(attended, (inputs) => this.feedForward.compute(inputs));
  }
}

class DecoderLayer {
  constructor(config, weights, index) {
    const name = `decoder.${index}`;
    this.selfAttention = new MultiHeadAttention(config, weights, `${name}.self_attention`, "decoder", index);
    this.crossAttention = new MultiHeadAttention(config, weights, `${name}.cross_attention`, "cross", index);
    this.feedForward = new FeedForward(weights, `${name}.feed_forward`);
    [this.aroundSelf, this.aroundCross, this.aroundFeedForward] = ["self", "cross", "feed_forward"].map(
      (part) => new Residual(config, weights, `${name}.around_${part}`),
    );
  }

  /** New states of the hypotheses at `position`, their keys and values so far, and the weights of both attentions. */
  compute(states, past, source, position, positions, control) {
    let after, ofSelf, ofCross;
    const attended = this.aroundSelf.around(states, (inputs) => {
      const queries = this.selfAttention.queries(inputs), fresh = this.selfAttention.keysAndValues(inputs);
      after = past.map(({ keys, values }, row) => {
        positions.rotate(fresh.keys[row], position);
        return { keys: [...keys, fresh.keys[row]], values: [...values, fresh.values[row]] };
      });
      const contexts = new Matrix(states.rows, queries.width);
      const bias = (head, key) => positions.bias(head, position, key);
      ofSelf = rowsOf(queries).map((query, row) => {
        positions.rotate(query, position);
        return this.selfAttention.attend(query, after[row], contexts.row(row), control, bias);
      });
      return this.selfAttention.project(contexts);
    });
    const crossed = this.aroundCross.around(attended, (inputs) => {
      const queries = this.crossAttention.queries(inputs), contexts = new Matrix(states.rows, queries.width);
      ofCross = rowsOf(queries).map((query, row) => (
        this.crossAttention.attend(query, source, contexts.row(row), control)
      ));
      return this.crossAttention.project(contexts);
    });
    const output = this.aroundFeedForward.around(crossed, (inputs) => this.feedForward.compute(inputs));
    return { states: output, past: after, ofSelf, ofCross };
  }
}

class Transformer {
  constructor(config, weights) {
    this.config = config;
    this.embeddings = new Embeddings(config, weights);
    this.positions = new Positions(config, weights);
    const layers = Array.from({ length: config.n_layers }, (_, index) => index);
    this.encoder = layers.map((index) => new EncoderLayer(config, weights, index));
    this.decoder = layers.map((index) => new DecoderLayer(config, weights, index));
    [this.encoderNorm, this.decoderNorm] = ["encoder_norm", "decoder_norm"].map(
      (name) => (weights.has(`${name}.weight`) ? weights.norm(name) : null),
    );
    this.maxTargetLength = config.positions === "learned" ? config.max_positions : Infinity;
  }

  encode(ids, control) {
    let states = this.embeddings.ofSource(ids);
    rowsOf(states).forEach((row, position) => this.positions.addTo(row, position));
    const maps = [];
    for (const layer of this.encoder) states = layer.compute(states, this.positions, control, maps);
    if (this.encoderNorm) states = layerNorm(states, this.encoderNorm);
    return {
      length: ids.length,
      cached: this.decoder.map((layer) => layer.crossAttention.keysAndValues(states)),
      maps,
    };
  }

  start() {
    return new AttentionState(this.decoder.map(() => [{ keys: [], values: [] }]), 0);
  }

  advance(tokens, state, memory, control) {
    let states = this.embeddings.ofTarget(tokens);
    for (const row of rowsOf(states)) this.positions.addTo(row, state.position);
    const maps = tokens.map(() => ({ cross: [], decoder: [] }));
    const past = this.decoder.map((layer, index) => {
      const computed = layer.compute(
        states, state.past[index], memory.cached[index], state.position, this.positions, control,
      );
      states = computed.states;
      maps.forEach((ofRow, row) => {
        ofRow.cross.push(computed.ofCross[row]);
        ofRow.decoder.push(computed.ofSelf[row]);
      });
      return computed.past;
    });
    if (this.decoderNorm) states = layerNorm(states, this.decoderNorm);
    return { logits: this.embeddings.logits(states), state: new AttentionState(past, state.position + 1), maps };
  }
}

class AttentionState {
  /** `past`: for each layer and hypothesis the keys and values of its earlier positions. */
  constructor(past, position) {
    this.past = past;
    this.position = position;
  }

  select(rows) {
    return new AttentionState(this.past.map((layer) => rows.map((row) => layer[row])), this.position);
  }
}
