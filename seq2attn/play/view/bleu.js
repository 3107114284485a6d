// BLEU of a corpus as sacreBLEU computes it (Post 2018): exponential smoothing, one reference, tokenizer 13a or char.
"use strict";

const ORDERS = 4;
const ENTITIES = [["&quot;", '"'], ["&amp;", "&"], ["&lt;", "<"], ["&gt;", ">"]];

const TOKENIZERS = {
  /** That of WMT, mteval-v13a. */
  "13a"(line) {
    let text = line.replaceAll("<skipped>", "").replaceAll("-\n", "").replaceAll("\n", " ");
    for (const [entity, character] of ENTITIES) text = text.replaceAll(entity, character);
    return ` ${text} `
      .replace(/([{-~[-` -&(-+:-@/])/g, " $1 ")
      .replace(/([^0-9])([.,])/gu, "$1 $2 ")
      .replace(/([.,])([^0-9])/gu, " $1 $2")
      .replace(/([0-9])(-)/g, "$1 $2 ")
      .split(/\s+/).filter((token) => token);
  },
  char: (line) => [...line].filter((character) => character.trim()),
};

/** Counts of a translation, to be added up: n-grams in common, n-grams, and tokens on both sides. */
function bleuCounts(translation, reference, tokenizer) {
  const [ours, theirs] = [translation, reference].map(TOKENIZERS[tokenizer]);
  const counts = { correct: [], total: [], length: ours.length, referenceLength: theirs.length };
  for (let order = 1; order <= ORDERS; order++) {
    const wanted = ngrams(theirs, order);
    let correct = 0;
    for (const [ngram, count] of ngrams(ours, order)) correct += Math.min(count, wanted.get(ngram) ?? 0);
    counts.correct.push(correct);
    counts.total.push(Math.max(0, ours.length - order + 1));
  }
  return counts;
}

function ngrams(tokens, order) {
  const counts = new Map();
  for (let start = 0; start + order <= tokens.length; start++) {
    const ngram = tokens.slice(start, start + order).join(" ");
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

/** The score, from 0 to 100, of a list of counts. */
function bleu(list) {
  const sum = (value) => list.reduce((total, counts) => total + value(counts), 0);
  const orders = Array.from({ length: ORDERS }, (_, index) => index);
  const correct = orders.map((index) => sum((counts) => counts.correct[index]));
  const total = orders.map((index) => sum((counts) => counts.total[index]));
  if (!correct.some(Boolean) || total.includes(0)) return 0;
  let smoothing = 1;
  const logs = orders.map((index) => {
    if (!correct[index]) smoothing *= 2;
    return Math.log(correct[index] ? 100 * correct[index] / total[index] : 100 / (smoothing * total[index]));
  });
  const length = sum((counts) => counts.length), referenceLength = sum((counts) => counts.referenceLength);
  const brevity = length < referenceLength ? Math.exp(1 - referenceLength / length) : 1;
  return brevity * Math.exp(logs.reduce((left, right) => left + right) / ORDERS);
}
