// The recurrent encoder-decoder of models/rnn.py, for one sentence and several hypotheses of its translation.
"use strict";

/** Steps of the cells for all rows: { hidden, cell } after them; pre-activations in PyTorch's order of gates. */
const CELLS = {
  gru(fromInput, recurrent, { hidden }) {
    const units = hidden.width, after = new Matrix(hidden.rows, units);
    for (let row = 0; row < hidden.rows; row++) {
      const x = fromInput.row(row), h = recurrent.row(row), before = hidden.row(row), result = after.row(row);
      for (let unit = 0; unit < units; unit++) {
        const reset = sigmoid(x[unit] + h[unit]);
        const update = sigmoid(x[units + unit] + h[units + unit]);
        const fresh = Math.tanh(x[2 * units + unit] + reset * h[2 * units + unit]);
        result[unit] = fresh + update * (before[unit] - fresh);
      }
    }
    return { hidden: after };
  },
  lstm(fromInput, recurrent, { hidden, cell }) {
    const units = hidden.width, after = new Matrix(hidden.rows, units), cellAfter = new Matrix(hidden.rows, units);
    for (let row = 0; row < hidden.rows; row++) {
      const x = fromInput.row(row), h = recurrent.row(row), before = cell.row(row);
      const result = after.row(row), cellResult = cellAfter.row(row);
      for (let unit = 0; unit < units; unit++) {
        const gate = (index) => x[index * units + unit] + h[index * units + unit];
        const kept = sigmoid(gate(1)) * before[unit] + sigmoid(gate(0)) * Math.tanh(gate(2));
        cellResult[unit] = kept;
        result[unit] = sigmoid(gate(3)) * Math.tanh(kept);
      }
    }
    return { hidden: after, cell: cellAfter };
  },
};

class RecurrentLayer {
  constructor(kind, weights, name) {
    this.step = CELLS[kind];
    this.input = { weight: weights.matrix(`${name}.weight_ih_l0`), bias: weights.vector(`${name}.bias_ih_l0`) };
    this.recurrent = { weight: weights.matrix(`${name}.weight_hh_l0`), bias: weights.vector(`${name}.bias_hh_l0`) };
    this.units = this.recurrent.weight.width;
  }

  /** The state after one step from `state`, with one row of `inputs` for each hypothesis. */
  advance(inputs, state) {
    return this.advanceWith(linear(inputs, this.input.weight, this.input.bias), state);
  }

  advanceWith(fromInput, state) {
    return this.step(fromInput, linear(state.hidden, this.recurrent.weight, this.recurrent.bias), state);
  }

  /** States (length × units) over the rows of `inputs` from first to last, or from last to first. */
  run(inputs, backwards) {
    const fromInput = linear(inputs, this.input.weight, this.input.bias);
    const states = new Matrix(inputs.rows, this.units);
    let state = { hidden: new Matrix(1, this.units), cell: new Matrix(1, this.units) };
    for (let step = 0; step < inputs.rows; step++) {
      const position = backwards ? inputs.rows - 1 - step : step;
      state = this.advanceWith(new Matrix(1, fromInput.width, fromInput.row(position)), state);
      states.row(position).set(state.hidden.row(0));
    }
    return states;
  }
}

/** How each `model.attention` scores keys: { keys(states), scores(query, keys) }, as in models/attention.py. */
const SCORES = {
  additive(weights) {
    const query = weights.layer("context.query_projection"), key = weights.layer("context.key_projection");
    const v = weights.vector("context.v");
    return {
      /** e^2Uh in 64 bits. */
      keys: (states) => rowsOf(linear(states, key.weight, key.bias)).map((row) => Float64Array.from(row, exponential)),
      /** v · tanh(q + k), where tanh(q + k) = 1 − 2 / (1 + e^2q e^2k). */
      scores(state, keys) {
        const exponentials = Float64Array.from(linear(state, query.weight).data, exponential);
        return keys.map((key) => {
          let sum = 0;
          for (let index = 0; index < v.length; index++) {
            sum += v[index] * (1 - 2 / (1 + exponentials[index] * key[index]));
          }
          return sum;
        });
      },
    };
  },
  dot: () => product((states) => states),
  general(weights) {
    const key = weights.layer("context.key_projection");
    return product((states) => linear(states, key.weight));
  },
  scaled_dot(weights) {
    const key = weights.layer("context.key_projection");
    return product((states) => linear(states, key.weight), 1 / Math.sqrt(key.weight.width));
  },
};

function product(keysOf, scale = 1) {
  return {
    keys: (states) => rowsOf(keysOf(states)),
    scores: (state, keys) => keys.map((key) => dot(state.data, key) * scale),
  };
}

/** e^2x, bounded so that no product of two of them overflows or is not a number. */
function exponential(x) {
  return Math.exp(2 * Math.min(Math.max(x, -150), 150));
}

function rowsOf(matrix) {
  return Array.from({ length: matrix.rows }, (_, index) => matrix.row(index));
}

class Rnn {
  constructor(config, weights) {
    this.config = config;
    this.embeddings = new Embeddings(config, weights);
    const layers = Array.from({ length: config.n_layers }, (_, index) => index);
    const layer = (name) => new RecurrentLayer(config.cell, weights, name);
    this.encoder = layers.map((index) => [layer(`encoder.forwards.${index}`), layer(`encoder.backwards.${index}`)]);
    this.norm = weights.norm("encoder.norm");
    this.firstState = weights.layer("first_state");
    this.cells = layers.map((index) => layer(`cells.layers.${index}`));
    this.readout = weights.layer("readout");
    this.score = config.attention === "none" ? null : SCORES[config.attention](weights);
    this.gate = weights.has("context.gate.weight") ? weights.layer("context.gate") : null;
    this.contextFeedsCell = config.attention === "none" || config.attention === "additive";
    this.inputFeeding = config.input_feeding && !this.contextFeedsCell;
    this.maxTargetLength = Infinity;
  }

  encode(ids) {
    let states = this.embeddings.ofSource(ids);
    let halves;
    for (const [forwards, backwards] of this.encoder) {
      halves = [forwards.run(states, false), backwards.run(states, true)];
      states = Matrix.beside(...halves);
    }
    const rows = rowsOf(states);
    const summary = new Matrix(1, states.width);
    if (this.config.summary === "mean") {
      addContext(summary.data, new Float32Array(rows.length).fill(1 / rows.length), rows);
    } else {
      summary.data.set([...halves[0].row(states.rows - 1), ...halves[1].row(0)]);
    }
    return {
      length: ids.length,
      states: rows,
      summary: layerNorm(summary, this.norm),
      keys: this.score && this.score.keys(states),
      maps: [],
    };
  }

  /** The state of one hypothesis before its first token. */
  start(memory) {
    const first = map(linear(memory.summary, this.firstState.weight, this.firstState.bias), Math.tanh).data;
    const units = this.config.d_model, n = this.cells.length;
    const part = (index) => new Matrix(1, units, first.slice(index * units, (index + 1) * units));
    const layers = this.cells.map((_, index) => ({
      hidden: part(index), ...(this.config.cell === "lstm" && { cell: part(n + index) }),
    }));
    return new RecurrentState(layers, this.inputFeeding ? new Matrix(1, units) : null);
  }

  /** Logits after `tokens`, one for each hypothesis of `state`; the state after them; and the weights of each. */
  advance(tokens, state, memory, control) {
    const top = (layers) => layers[layers.length - 1].hidden;
    const words = this.embeddings.ofTarget(tokens);
    const inputs = [words];
    let context = this.contextFeedsCell ? this.contexts(top(state.layers), memory, control) : null;
    if (context) inputs.push(context.vectors);
    if (this.inputFeeding) inputs.push(state.fed);
    let input = Matrix.beside(...inputs);
    const layers = this.cells.map((cell, index) => {
      const after = cell.advance(input, state.layers[index]);
      input = after.hidden;
      return after;
    });
    context ??= this.contexts(top(layers), memory, control);
    const vectors = this.gate ? this.gated(context.vectors, top(layers)) : context.vectors;
    const hidden = map(
      linear(Matrix.beside(vectors, top(layers)), this.readout.weight, this.readout.bias), Math.tanh,
    );
    return {
      logits: this.embeddings.logits(hidden),
      state: new RecurrentState(layers, this.inputFeeding ? hidden : null),
      maps: context.weights.map((weights) => ({ cross: weights ? [[weights]] : [], decoder: [] })),
    };
  }

  /** The context of each row of `queries`, and its weights over the source; null without attention. */
  contexts(queries, memory, control) {
    const vectors = new Matrix(queries.rows, queries.width);
    const weights = rowsOf(queries).map((query, row) => {
      if (!this.score) {
        vectors.row(row).set(memory.summary.data);
        return null;
      }
      const scores = Float32Array.from(this.score.scores(new Matrix(1, queries.width, query), memory.keys));
      const ofRow = softmax(control.forbid(scores));
      addContext(vectors.row(row), ofRow, memory.states, control.gate("cross", 0, 0));
      return ofRow;
    });
    return { vectors, weights };
  }

  /** 2 σ(W s + b) ⊙ context */
  gated(context, states) {
    const gates = linear(states, this.gate.weight, this.gate.bias);
    const scaled = context.data.map((value, index) => 2 * sigmoid(gates.data[index]) * value);
    return new Matrix(context.rows, context.width, scaled);
  }
}

class RecurrentState {
  constructor(layers, fed) {
    this.layers = layers;
    this.fed = fed;
  }

  select(rows) {
    const selected = this.layers.map(({ hidden, cell }) => ({
      hidden: hidden.select(rows), ...(cell && { cell: cell.select(rows) }),
    }));
    return new RecurrentState(selected, this.fed && this.fed.select(rows));
  }
}
