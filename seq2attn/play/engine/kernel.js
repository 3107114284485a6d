// Matrix products four numbers at a time: WebAssembly's SIMD, written here instruction by instruction.
//
// The loop is that of `multiply` in matrix.js. Weights lie in the memory of the WebAssembly instance; inputs and
// outputs are copied. Without WebAssembly or its SIMD, matrices have no kernel and `multiply` does the work.
"use strict";

const MOST_ROWS = 8; // of the input in one call: each weight is loaded once for all of them
const I32 = 0x7f, V128 = 0x7b;
const ONCE = 0x00, FLOAT_ALIGNED = [0x02, 0x00], VECTOR_ALIGNED = [0x02, 0x00];

/** An unsigned whole number in WebAssembly's variable length. */
function leb(value) {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

const get = (local) => [0x20, ...leb(local)];
const set = (local) => [0x21, ...leb(local)];
const constant = (value) => [0x41, ...leb(value)]; // below 64
const simd = (code) => [0xfd, ...leb(code)];
const ADD = [0x6a], SUBTRACT = [0x6b], LESS = [0x49], END = [0x0b], LOOP = [0x03, 0x40], AGAIN_IF = [0x0d, ONCE];
const LOAD_VECTOR = [...simd(0x00), ...VECTOR_ALIGNED], ADD_VECTORS = simd(0xe4), MULTIPLY_VECTORS = simd(0xe6);
const NO_NUMBERS = [...simd(0x0c), ...new Array(16).fill(0)];
const LANE = (lane) => [...simd(0x1f), lane];
const ADD_FLOATS = [0x92], STORE_FLOAT = [0x38, ...FLOAT_ALIGNED];

/** The body of multiply_n(input, weight, output, width, outputs, stride) for `n` rows of input; sizes in bytes. */
function body(n) {
  const [input, weight, output, width, outputs, stride, offset, address] = [0, 1, 2, 3, 4, 5, 6, 7];
  const rows = Array.from({ length: n }, (_, row) => row);
  const row = (index) => 8 + index; // addresses of the rows of the input
  const factor = 8 + n, sum = (index) => 9 + n + index;
  const multiplyAdd = (index) => [
    ...get(sum(index)), ...get(factor), ...get(row(index)), ...get(offset), ...ADD, ...LOAD_VECTOR,
    ...MULTIPLY_VECTORS, ...ADD_VECTORS, ...set(sum(index)),
  ];
  const store = (index) => [
    ...get(address),
    ...[0, 1, 2, 3].flatMap((lane) => [...get(sum(index)), ...LANE(lane), ...(lane ? ADD_FLOATS : [])]),
    ...STORE_FLOAT,
    ...get(address), ...get(stride), ...ADD, ...set(address),
  ];
  const code = [
    ...leb(2), ...leb(2 + n), I32, ...leb(1 + n), V128, // locals: offset, address, rows; factor, sums
    ...get(input), ...set(row(0)),
    ...rows.slice(1).flatMap((index) => [...get(row(index - 1)), ...get(width), ...ADD, ...set(row(index))]),
    ...LOOP,
    ...rows.flatMap((index) => [...NO_NUMBERS, ...set(sum(index))]),
    ...constant(0), ...set(offset),
    ...LOOP,
    ...get(weight), ...get(offset), ...ADD, ...LOAD_VECTOR, ...set(factor),
    ...rows.flatMap(multiplyAdd),
    ...get(offset), ...constant(16), ...ADD, 0x22, offset, ...get(width), ...LESS, ...AGAIN_IF, // 0x22: set and keep
    ...END,
    ...get(output), ...set(address),
    ...rows.flatMap(store),
    ...get(weight), ...get(width), ...ADD, ...set(weight),
    ...get(output), ...constant(4), ...ADD, ...set(output),
    ...get(outputs), ...constant(1), ...SUBTRACT, 0x22, outputs, ...AGAIN_IF,
    ...END,
    ...END,
  ];
  return [...leb(code.length), ...code];
}

/** The WebAssembly module with multiply_1 … multiply_8, named 1 … 8, over an imported memory `m.m`. */
function assemble() {
  const functions = Array.from({ length: MOST_ROWS }, (_, index) => index);
  const name = (text) => [text.length, ...new TextEncoder().encode(text)];
  const section = (id, ...content) => [id, ...leb(content.length), ...content];
  const listed = (items) => [...leb(items.length), ...items.flat()];
  return new Uint8Array([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, ...listed([[0x60, 6, ...new Array(6).fill(I32), 0]])),
    ...section(2, ...listed([[...name("m"), ...name("m"), 0x02, 0x00, 1]])),
    ...section(3, ...listed(functions.map(() => [0]))),
    ...section(7, ...listed(functions.map((index) => [...name(String(index + 1)), 0x00, index]))),
    ...section(10, ...listed(functions.map((index) => body(index + 1)))),
  ]);
}

class Kernel {
  /** Memory for weights of `size` numbers, and for inputs and outputs of `width` and `outputs` columns at most. */
  constructor(size, width, outputs) {
    const bytes = 4 * (size + MOST_ROWS * (width + outputs));
    const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
    this.instance = new WebAssembly.Instance(new WebAssembly.Module(assemble()), { m: { m: memory } });
    this.numbers = new Float32Array(memory.buffer);
    this.input = size;
    this.output = size + MOST_ROWS * width;
    this.taken = 0;
  }

  /** The next `count` numbers of the memory of weights. */
  take(count) {
    this.taken += count;
    return this.numbers.subarray(this.taken - count, this.taken);
  }

  /** output = input weightᵀ */
  multiply(input, weight, output) {
    const { width, rows: outputs } = weight;
    for (let first = 0; first < input.rows; first += MOST_ROWS) {
      const n = Math.min(MOST_ROWS, input.rows - first);
      this.numbers.set(input.data.subarray(first * width, (first + n) * width), this.input);
      const at = weight.data.byteOffset;
      this.instance.exports[n](4 * this.input, at, 4 * this.output, 4 * width, outputs, 4 * outputs);
      output.data.set(this.numbers.subarray(this.output, this.output + n * outputs), first * outputs);
    }
  }

  /** A kernel, or null where WebAssembly or its SIMD is missing or forbidden. */
  static create(size, width, outputs) {
    try {
      return new Kernel(size, width, outputs);
    } catch {
      return null;
    }
  }
}
