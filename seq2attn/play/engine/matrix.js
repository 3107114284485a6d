// Matrices in 32-bit floats, and the arithmetic of the models over them.
"use strict";

class Matrix {
  /** `rows` × `width` numbers, row after row; zeros without `data`. */
  constructor(rows, width, data = new Float32Array(rows * width)) {
    this.rows = rows;
    this.width = width;
    this.data = data;
  }

  /** A view of row `index`: writing to it changes the matrix. */
  row(index) {
    return this.data.subarray(index * this.width, (index + 1) * this.width);
  }

  /** A new matrix of the rows `indices`. */
  select(indices) {
    const selected = new Matrix(indices.length, this.width);
    indices.forEach((index, place) => selected.row(place).set(this.row(index)));
    return selected;
  }

  /** The matrix of `rows`, arrays of equal length. */
  static of(rows) {
    const matrix = new Matrix(rows.length, rows[0].length);
    rows.forEach((row, index) => matrix.row(index).set(row));
    return matrix;
  }

  /** `matrices` of as many rows side by side. */
  static beside(...matrices) {
    const width = matrices.reduce((sum, matrix) => sum + matrix.width, 0);
    const joined = new Matrix(matrices[0].rows, width);
    for (let index = 0; index < joined.rows; index++) {
      let place = index * width;
      for (const matrix of matrices) {
        joined.data.set(matrix.row(index), place);
        place += matrix.width;
      }
    }
    return joined;
  }
}

/** `input` (n × in) times the transpose of `weight` (out × in), plus `bias` (out): n × out, as PyTorch's Linear. */
function linear(input, weight, bias = null) {
  const output = new Matrix(input.rows, weight.rows);
  if (weight.kernel) {
    weight.kernel.multiply(input, weight, output);
  } else {
    multiply(input, weight, output);
  }
  if (bias) {
    for (let start = 0; start < output.data.length; start += bias.length) {
      for (let index = 0; index < bias.length; index++) output.data[start + index] += bias[index];
    }
  }
  return output;
}

/** output = input weightᵀ in plain JavaScript, several sums at a time: each addition waits for the one before. */
function multiply(input, weight, output) {
  let first = 0;
  for (; first + 4 <= input.rows; first += 4) multiplyFourRows(input, weight, output, first);
  for (; first < input.rows; first++) multiplyRow(input, weight, output, first);
}

function multiplyRow(input, weight, output, row) {
  const { width, data: w } = weight;
  const vector = input.row(row), result = output.row(row);
  const unrolled = width - (width % 4);
  for (let out = 0, base = 0; out < weight.rows; out++, base += width) {
    let sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    let index = 0;
    for (; index < unrolled; index += 4) {
      sum0 += w[base + index] * vector[index];
      sum1 += w[base + index + 1] * vector[index + 1];
      sum2 += w[base + index + 2] * vector[index + 2];
      sum3 += w[base + index + 3] * vector[index + 3];
    }
    for (; index < width; index++) sum0 += w[base + index] * vector[index];
    result[out] = sum0 + sum1 + (sum2 + sum3);
  }
}

function multiplyFourRows(input, weight, output, first) {
  const { width, data: w } = weight;
  const [x0, x1, x2, x3] = [0, 1, 2, 3].map((row) => input.row(first + row));
  const [y0, y1, y2, y3] = [0, 1, 2, 3].map((row) => output.row(first + row));
  for (let out = 0, base = 0; out < weight.rows; out++, base += width) {
    let sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (let index = 0; index < width; index++) {
      const factor = w[base + index];
      sum0 += factor * x0[index];
      sum1 += factor * x1[index];
      sum2 += factor * x2[index];
      sum3 += factor * x3[index];
    }
    y0[out] = sum0;
    y1[out] = sum1;
    y2[out] = sum2;
    y3[out] = sum3;
  }
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

function dot(left, right, start = 0, end = left.length) {
  let sum = 0;
  for (let index = start; index < end; index++) sum += left[index] * right[index];
  return sum;
}

/** A new matrix with `activate` applied to every number of `matrix`. */
function map(matrix, activate) {
  return new Matrix(matrix.rows, matrix.width, matrix.data.map(activate));
}

function add(left, right) {
  return new Matrix(left.rows, left.width, left.data.map((value, index) => value + right.data[index]));
}

const EPSILON = 1e-5; // PyTorch's, added to the variance

/** Every row with mean 0 and variance 1, times `weight`, plus `bias` (Ba et al. 2016). */
function layerNorm(matrix, { weight, bias }) {
  const { width } = matrix;
  const output = new Matrix(matrix.rows, width);
  for (let index = 0; index < matrix.rows; index++) {
    const row = matrix.row(index), result = output.row(index);
    let mean = 0, variance = 0;
    for (const value of row) mean += value / width;
    for (const value of row) variance += (value - mean) ** 2 / width;
    const scale = 1 / Math.sqrt(variance + EPSILON);
    for (let place = 0; place < width; place++) {
      result[place] = (row[place] - mean) * scale * weight[place] + bias[place];
    }
  }
  return output;
}

/** The softmax of `scores`, in place; −∞ becomes 0. */
function softmax(scores) {
  let most = -Infinity, sum = 0;
  for (const score of scores) most = Math.max(most, score);
  for (let index = 0; index < scores.length; index++) sum += scores[index] = Math.exp(scores[index] - most);
  for (let index = 0; index < scores.length; index++) scores[index] /= sum;
  return scores;
}

/** Adds Σ weights[i] · values[i], times `gate`, to columns `start` to `end` of `output`. */
function addContext(output, weights, values, gate = 1, start = 0, end = output.length) {
  for (let place = 0; place < values.length; place++) {
    const value = values[place], weight = weights[place] * gate;
    if (weight !== 0) for (let index = start; index < end; index++) output[index] += weight * value[index];
  }
}
