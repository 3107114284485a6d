// The weights of a model, from the bytes that play/weights.py writes.
"use strict";

class Weights {
  /** `tensors`: the offset, shape and precision of each name. `plain`: do without WebAssembly. */
  constructor(tensors, bytes, plain = false) {
    this.tensors = tensors;
    this.bytes = bytes.byteOffset % 4 ? bytes.slice() : bytes;
    this.loaded = new Map(); // by offset, because tied weights have one
    const matrices = new Map(
      Object.values(tensors).filter(({ shape }) => shape.length === 2).map(({ offset, shape }) => [offset, shape]),
    );
    const shapes = [...matrices.values()].filter(([, width]) => width % 4 === 0);
    const size = shapes.reduce((sum, [rows, width]) => sum + rows * width, 0);
    const largest = (axis) => shapes.reduce((most, shape) => Math.max(most, shape[axis]), 0);
    this.kernel = plain || !size ? null : Kernel.create(size, largest(1), largest(0));
  }

  has(name) {
    return name in this.tensors;
  }

  /** The vector `name`, a Float32Array; null where the model has none. */
  vector(name) {
    if (!this.has(name)) return null;
    const { offset, shape } = this.tensors[name];
    return new Float32Array(this.bytes.buffer, this.bytes.byteOffset + offset, shape[0]);
  }

  matrix(name) {
    if (!this.has(name)) return null;
    const { offset } = this.tensors[name];
    if (!this.loaded.has(offset)) this.loaded.set(offset, this.load(this.tensors[name]));
    return this.loaded.get(offset);
  }

  /** { weight, bias } of the linear layer or norm `name`; the bias is null where there is none. */
  layer(name) {
    return { weight: this.matrix(`${name}.weight`), bias: this.vector(`${name}.bias`) };
  }

  norm(name) {
    return { weight: this.vector(`${name}.weight`), bias: this.vector(`${name}.bias`) };
  }

  load({ offset, shape: [rows, width], precision }) {
    const inKernel = this.kernel !== null && width % 4 === 0;
    const matrix = new Matrix(rows, width, inKernel ? this.kernel.take(rows * width) : undefined);
    if (inKernel) matrix.kernel = this.kernel;
    DECODERS[precision](this.bytes.buffer, this.bytes.byteOffset + offset, matrix);
    return matrix;
  }
}

/** For each precision: fills a matrix from a buffer at an offset, a multiple of 4. */
const DECODERS = {
  float32(buffer, offset, matrix) {
    matrix.data.set(new Float32Array(buffer, offset, matrix.data.length));
  },
  float16(buffer, offset, matrix) {
    const halves = new Uint16Array(buffer, offset, matrix.data.length);
    for (let index = 0; index < halves.length; index++) matrix.data[index] = fromHalf(halves[index]);
  },
  /** Whole numbers from −127 to 127, filled up to a multiple of 4 bytes, then the factor of each row. */
  int8(buffer, offset, matrix) {
    const { rows, width, data } = matrix;
    const levels = new Int8Array(buffer, offset, data.length);
    const scales = new Float32Array(buffer, offset + 4 * Math.ceil(data.length / 4), rows);
    for (let index = 0; index < data.length; index++) data[index] = levels[index] * scales[(index / width) | 0];
  },
};

/** The number with the 16 bits of an IEEE 754 half: 1 of sign, 5 of exponent, 10 of fraction. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

/** The bytes of a base64 text. */
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}
