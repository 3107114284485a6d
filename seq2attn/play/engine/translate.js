// From a sentence to its translations, as in decoding/translate.py.
"use strict";

const EXTRA_LENGTH = 10;

class Translator {
  /** A model from its description, as play/model.py writes it, and its weights, bytes. `plain`: without WebAssembly. */
  constructor(description, bytes, plain = false) {
    this.decode = description.decode;
    this.source = new Subwords(description.subwords.source);
    this.target = description.subwords.target ? new Subwords(description.subwords.target) : this.source;
    this.model = buildModel(description, bytes, plain);
  }

  /**
   * The best translations of `text`, best first: { text, score, logProbability, finished, parts }. A part is
   * { ids, memory, hypothesis }; only a source that is too long for the model has several.
   *
   * `options`: beamSize, lengthPenalty, nBest, and those of `Control`.
   */
  translate(text, options = {}) {
    return finish(this.steps(text, options));
  }

  /** The same as a generator that yields the nodes of each step of the search. */
  *steps(text, options = {}) {
    const ids = this.source.encode(text);
    if (!ids.length) return [{ text: "", score: 0, logProbability: 0, finished: true, parts: [] }];
    const control = new Control(options);
    const parts = [];
    for (const part of splitIds(ids, this.longestSource, this.source.pieces)) {
      control.check(part.length);
      const memory = this.model.encode(part, control);
      const hypotheses = yield* this.search(memory, options, control);
      parts.push(hypotheses.map((hypothesis) => ({ ids: part, memory, hypothesis })));
    }
    const most = Math.min(...parts.map((part) => part.length));
    return Array.from({ length: most }, (_, rank) => this.join(parts.map((part) => part[rank])));
  }

  /** The hypotheses of one encoded sentence, as a generator of nodes. */
  search(memory, options, control) {
    const { beamSize = this.decode.beam_size, lengthPenalty = this.decode.length_penalty, nBest = 1 } = options;
    const limit = Math.floor(this.decode.max_length_ratio * memory.length) + EXTRA_LENGTH;
    const maxLength = Math.min(limit, this.model.maxTargetLength);
    if (beamSize === 1 && nBest === 1) return greedySearch(this.model, memory, maxLength, control);
    return beamSearch(this.model, memory, maxLength, { beamSize, lengthPenalty, nBest }, control);
  }

  /** What the model looks at while it writes `translation` of `text`: a part as in `translate`. */
  force(text, translation, options = {}) {
    const control = new Control(options), ids = [...this.source.encode(text), EOS];
    control.check(ids.length);
    const memory = this.model.encode(ids, control);
    const [hypothesis] = finish(force(this.model, memory, [...this.target.encode(translation), EOS], control));
    return { ids, memory, hypothesis };
  }

  get longestSource() {
    return Math.min(this.decode.max_source_tokens, this.model.maxTargetLength);
  }

  join(parts) {
    const sum = (key) => parts.reduce((total, { hypothesis }) => total + hypothesis[key], 0);
    const texts = parts.map(({ hypothesis }) => this.target.decode(hypothesis.tokens));
    return {
      text: texts.filter((text) => text).join(" "),
      score: sum("score"),
      logProbability: sum("logProbability"),
      finished: parts.every(({ hypothesis }) => hypothesis.finished),
      parts,
    };
  }
}

/** `ids` in parts of at most `most` ids, EOS at the end of each; a part ends where a word ends, if it can. */
function splitIds(ids, most, pieces) {
  const parts = [];
  let start = 0;
  while (ids.length - start >= most) {
    let cut = start + most - 1;
    while (cut > start && !pieces[ids[cut]].startsWith(SPACE)) cut -= 1;
    if (cut === start) cut = start + most - 1;
    parts.push([...ids.slice(start, cut), EOS]);
    start = cut;
  }
  return [...parts, [...ids.slice(start), EOS]];
}
