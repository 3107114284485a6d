// SentencePiece's byte-pair encoding and unigram model, and the normalisation of data/cleaning.py.
//
// Runs are trained with SentencePiece's rule "identity", so it changes nothing but spaces.
"use strict";

const UNKNOWN = 1;
const SPACE = "\u2581"; // SentencePiece's sign for a space
const CONTROLS = /[\x00-\x1f\x7f-\x9f]/g;
const SPACES = /[ \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g; // without U+FEFF, unlike \s
const UNKNOWN_TEXT = " \u2047 ";
const UNKNOWN_PENALTY = 10;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** `text` in NFC, with runs of spaces and control characters as one space, and stripped. */
function normalise(text) {
  const spaced = text.replaceAll("\0", "").replaceAll(SPACE, "_").replace(CONTROLS, " ").replace(SPACES, " ");
  return spaced.replace(/^ | $/g, "").replace(LONE_SURROGATE, "\ufffd").normalize("NFC");
}

class Subwords {
  /** `kind`: bpe or unigram. `pieces`, `scores`: of each id. `firstByte`: the id of byte 0, or null without bytes. */
  constructor({ kind, pieces, scores, first_byte: firstByte }) {
    this.kind = kind;
    this.pieces = pieces;
    this.scores = Float32Array.from(scores);
    this.firstByte = firstByte;
    this.ids = new Map();
    this.longest = 0; // in code points
    let least = Infinity;
    pieces.forEach((piece, id) => {
      if (this.isSpecial(id)) return;
      this.ids.set(piece, id);
      this.longest = Math.max(this.longest, [...piece].length);
      least = Math.min(least, this.scores[id]);
    });
    this.unknownScore = Math.fround(least - UNKNOWN_PENALTY);
  }

  isSpecial(id) {
    return id < 4 || this.isByte(id);
  }

  isByte(id) {
    return this.firstByte !== null && id >= this.firstByte && id < this.firstByte + 256;
  }

  /** The ids of `text`, which is normalised first, without EOS. */
  encode(text) {
    const normalised = normalise(text);
    if (!normalised) return [];
    const characters = [...(SPACE + normalised.replaceAll(" ", SPACE))];
    const pieces = this.kind === "bpe" ? this.merge(characters) : this.bestPath(characters);
    const ids = [];
    for (const piece of pieces) {
      const id = this.ids.get(piece) ?? UNKNOWN;
      if (id !== UNKNOWN) ids.push(id);
      else if (this.firstByte !== null) for (const byte of encodeUtf8(piece)) ids.push(this.firstByte + byte);
      else if (ids[ids.length - 1] !== UNKNOWN) ids.push(UNKNOWN); // a run of unknown characters is one
    }
    return ids;
  }

  /** Byte-pair encoding: the pair with the best score is merged first, of equals the leftmost. */
  merge(characters) {
    const symbols = [...characters];
    const before = symbols.map((_, index) => index - 1), after = symbols.map((_, index) => index + 1);
    const isFirst = (one, other) => one.score > other.score || (one.score === other.score && one.at < other.at);
    const agenda = new Heap(isFirst);
    const consider = (left, right) => {
      if (left < 0 || right >= symbols.length) return;
      const id = this.ids.get(symbols[left] + symbols[right]);
      if (id !== undefined) agenda.push({ score: this.scores[id], at: left, right, piece: this.pieces[id] });
    };
    for (let index = 1; index < symbols.length; index++) consider(index - 1, index);
    for (let pair = agenda.pop(); pair; pair = agenda.pop()) {
      const { at, right, piece } = pair;
      // Another merge may have taken one of the two.
      if (!symbols[at] || !symbols[right] || symbols[at] + symbols[right] !== piece) continue;
      symbols[at] = piece;
      symbols[right] = "";
      after[at] = after[right];
      if (after[at] < symbols.length) before[after[at]] = at;
      consider(before[at], at);
      consider(at, after[at]);
    }
    return symbols.filter((symbol) => symbol);
  }

  /** The pieces with the largest sum of scores; sums are rounded to 32 bits as in SentencePiece. */
  bestPath(characters) {
    const ends = characters.map(() => null);
    const offer = (end, start, score) => {
      if (ends[end] === null || score > ends[end].score) ends[end] = { start, score: Math.fround(score) };
    };
    for (let start = 0; start < characters.length; start++) {
      const score = start ? ends[start - 1].score : 0;
      let piece = "", single = false;
      for (let end = start; end < Math.min(start + this.longest, characters.length); end++) {
        piece += characters[end];
        const id = this.ids.get(piece);
        if (id === undefined) continue;
        offer(end, start, score + this.scores[id]);
        single ||= end === start;
      }
      if (!single) offer(start, start, score + this.unknownScore);
    }
    const pieces = [];
    for (let end = characters.length - 1; end >= 0;) {
      const { start } = ends[end];
      pieces.push(characters.slice(start, end + 1).join(""));
      end = start - 1;
    }
    return pieces.reverse();
  }

  /** The text of `ids`; PAD, BOS and EOS decode to nothing. */
  decode(ids) {
    let text = "", bytes = [];
    const flush = () => {
      text += decodeUtf8(bytes);
      bytes = [];
    };
    for (const id of ids) {
      if (this.isByte(id)) {
        bytes.push(id - this.firstByte);
        continue;
      }
      flush();
      if (id === UNKNOWN) text += UNKNOWN_TEXT;
      else if (!this.isSpecial(id)) text += this.pieces[id].replaceAll(SPACE, " ");
    }
    flush();
    return normalise(text);
  }
}

const encodeUtf8 = (text) => new TextEncoder().encode(text);

/** The text of UTF-8 `bytes`, with U+FFFD for each byte that belongs to no character (TextDecoder writes fewer). */
function decodeUtf8(bytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  for (let start = 0; start < bytes.length;) {
    const length = bytes[start] < 0x80 ? 1 : bytes[start] < 0xe0 ? 2 : bytes[start] < 0xf0 ? 3 : 4;
    try {
      text += decoder.decode(Uint8Array.from(bytes.slice(start, start + length)));
      start += length;
    } catch {
      text += "\ufffd";
      start += 1;
    }
  }
  return text;
}

/** A priority queue: `pop` returns an item that none `isBefore`. */
class Heap {
  constructor(isBefore) {
    this.isBefore = isBefore;
    this.items = [];
  }

  push(item) {
    const { items } = this;
    let at = items.push(item) - 1;
    for (let above = (at - 1) >> 1; at > 0 && this.isBefore(item, items[above]); above = (at - 1) >> 1) {
      items[at] = items[above];
      at = above;
    }
    items[at] = item;
  }

  pop() {
    const { items } = this;
    const top = items[0], last = items.pop();
    if (!items.length) return top;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below + 1 < items.length && this.isBefore(items[below + 1], items[below])) below += 1;
      if (below >= items.length || !this.isBefore(items[below], last)) break;
      items[at] = items[below];
      at = below;
    }
    items[at] = last;
    return top;
  }
}
