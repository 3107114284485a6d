// Subwords grouped into words, and weights between subwords merged into weights between words, as in attention/words.py.
"use strict";

const WORD_START = "\u2581"; // SentencePiece's sign for a space
const BYTE = /^<0x([0-9A-F]{2})>$/;
const ALONE = new Set(["<s>", "</s>"]);
const SPELLED_OUT = { "<s>": "⟨start⟩", "</s>": "⟨end⟩", "<unk>": "⟨unknown⟩" };
const PUNCTUATION = /^[\p{P}\p{S}]*$/u;
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Khmer}\p{Script=Lao}\p{Script=Myanmar}]/u;

/**
 * { labels, wordOf } of `pieces`: words, and for each piece the index of its word. A word ends at a space, and
 * punctuation at its edges is separate; in scripts without spaces every subword counts as a word.
 */
function groupSubwords(pieces) {
  const labels = [], wordOf = [];
  for (const run of runsWithoutSpace(joinBytes(pieces))) {
    const bounds = wordBounds(run.map((atom) => atom.text));
    bounds.slice(1).forEach((end, index) => {
      const parts = run.slice(bounds[index], end);
      for (const atom of parts) for (let count = 0; count < atom.count; count++) wordOf.push(labels.length);
      labels.push(parts.map(({ text }) => SPELLED_OUT[text] ?? text).join("") || WORD_START);
    });
  }
  return { labels, wordOf };
}

/** Every piece as a word of its own. */
function singleSubwords(pieces) {
  return { labels: pieces.map((piece) => SPELLED_OUT[piece] ?? piece), wordOf: pieces.map((_, index) => index) };
}

/** What cannot be divided: a subword, or the bytes of one character. */
function joinBytes(pieces) {
  const atoms = [];
  let bytes = [];
  const flush = () => {
    if (bytes.length) {
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
      atoms.push({ text, count: bytes.length, afterSpace: false });
    }
    bytes = [];
  };
  for (const piece of pieces) {
    const byte = BYTE.exec(piece), value = byte ? parseInt(byte[1], 16) : 0;
    if ((value & 0xc0) !== 0x80) flush();
    if (byte) bytes.push(value);
    else atoms.push({ text: piece.replaceAll(WORD_START, ""), count: 1, afterSpace: piece.startsWith(WORD_START) });
  }
  flush();
  return atoms;
}

function runsWithoutSpace(atoms) {
  const runs = [];
  for (const atom of atoms) {
    const last = runs.at(-1);
    if (!last || atom.afterSpace || ALONE.has(atom.text) || ALONE.has(last.at(-1).text)) runs.push([atom]);
    else last.push(atom);
  }
  return runs;
}

/** The index at which each word of `texts` begins, and the end of the last; no space is between them. */
function wordBounds(texts) {
  const letters = texts.map((_, place) => place).filter((place) => texts[place] && !PUNCTUATION.test(texts[place]));
  const inner = new Set(letters.length ? [letters[0], letters.at(-1) + 1] : []);
  for (const place of letters) if (UNSPACED.test(texts[place])) inner.add(place).add(place + 1);
  // A space that is a subword of its own belongs to the text after it.
  const firstText = texts.findIndex((text) => text);
  const kept = [...inner].filter((bound) => bound < texts.length && firstText >= 0 && bound > firstText);
  return [0, ...kept.sort((left, right) => left - right), texts.length];
}

/** The sum over the subwords of a word that is looked at, and the mean over those of a word that looks. */
function mergeWeights(weights, rows, columns) {
  const merged = rows.labels.map(() => new Float32Array(columns.labels.length));
  const sizes = rows.labels.map(() => 0);
  for (const word of rows.wordOf) sizes[word] += 1;
  weights.forEach((line, row) => {
    const word = rows.wordOf[row];
    line.forEach((weight, column) => { merged[word][columns.wordOf[column]] += weight / sizes[word]; });
  });
  return merged;
}

/** The mean of several matrices of the same shape, arrays of rows. */
function meanOf(matrices) {
  return matrices[0].map((row, index) => (
    row.map((_, column) => matrices.reduce((sum, matrix) => sum + matrix[index][column], 0) / matrices.length)
  ));
}
