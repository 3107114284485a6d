// The page: the source, what is asked of every system, test sentences, and the curve.
"use strict";

const MAX_CHARACTERS = 1500;
const TYPING_MS = 120, ADDRESS_MS = 300, ANNOUNCE_MS = 900;
const FIRST_PAUSE_MS = 1100, PAUSE_MS = 150;
const MOST_JOINED = 8;
const FIRST_LENGTH = 12, FIRST_JOINED_LENGTH = 16;

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const [sourceLanguage, targetLanguage] = data.languages;
const [sourceUnspaced, targetUnspaced] = data.unspaced;
const unit = sourceUnspaced ? "characters" : "words";
const tokenizer = targetUnspaced ? "char" : "13a";

const lengthOf = (text) => (
  sourceUnspaced ? TOKENIZERS.char(text).length : text.split(/\s+/).filter((word) => word).length
);
const joinTexts = (texts, unspaced) => texts.join(unspaced ? "" : " ");

/** The reference of `text`, if it is a test sentence or several of them. */
function referenceOf(text) {
  const space = sourceUnspaced ? "" : " ";
  const upTo = new Map([[0, []]]); // references of the sentences before a character; grows while it is read
  for (const [start, before] of upTo) {
    for (const [source, target] of data.sentences) {
      if (!text.startsWith(source, start)) continue;
      const end = start + source.length, references = [...before, target];
      if (end === text.length) return joinTexts(references, targetUnspaced);
      if (text.startsWith(space, end) && !upTo.has(end + space.length)) upTo.set(end + space.length, references);
    }
  }
  return undefined;
}

/** Test sentences that are short enough to be joined, and the place of the slider among them. */
class Joining {
  constructor(sentences, longest) {
    const pool = sentences.filter(([source]) => lengthOf(source) <= longest);
    this.pool = pool.length ? pool : sentences;
    this.first = 0;
    this.size = 1;
    this.playing = false;
    this.rounds = 0;
  }

  /** The source of `size` sentences. */
  text() {
    const chosen = Array.from({ length: this.size }, (_, index) => this.pool[(this.first + index) % this.pool.length]);
    return joinTexts(chosen.map(([source]) => source), sourceUnspaced);
  }

  others() {
    this.first = (this.first + MOST_JOINED) % this.pool.length;
  }

  /** One sentence more, or one of the next eight. */
  advance() {
    if (this.size < MOST_JOINED) {
      this.size += 1;
      return;
    }
    this.size = 1;
    this.rounds += 1;
    this.others();
  }
}

class Page {
  constructor() {
    this.joining = new Joining(data.sentences, data.joinable);
    this.search = {};
    this.loaded = 0;
    this.waiting = new Set();
    this.timers = {};
    this.systems = data.models.map((model, number) => new System(number, model, {
      settings: () => ({ languages: data.languages, asSubwords: byId("subwords").checked }),
      search: () => this.search,
      loaded: () => this.countLoaded(),
      answered: (system, result) => this.answered(system, result),
    }));
    byId("systems").append(...this.systems.map(({ element }) => element));
    this.describe();
    this.offerSentences();
    this.offerSearches();
    this.listen();
    this.drawCurve();
    this.begin();
  }

  /**
   * With the text of the address, or with test sentences that are long enough to be interesting, and short enough to be
   * read at a glance: one or, of a corpus that has short ones alone, several.
   */
  begin() {
    const text = this.fromAddress();
    const lengths = data.sentences.map(([source]) => lengthOf(source)), longest = Math.max(0, ...lengths);
    if (text !== null || !longest) {
      this.set(text ?? "");
    } else if (longest < FIRST_LENGTH) {
      while (this.joining.size < MOST_JOINED && lengthOf(this.joining.text()) < FIRST_JOINED_LENGTH) {
        this.joining.size += 1;
      }
      this.join();
    } else {
      const distances = lengths.map((length) => Math.abs(length - FIRST_LENGTH));
      this.set(data.sentences[distances.indexOf(Math.min(...distances))][0]);
    }
  }

  later(name, milliseconds, act) {
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(act, milliseconds);
  }

  describe() {
    const [from, to] = data.languages.map(languageName);
    const n = this.systems.length;
    byId("about").textContent = `${from} → ${to} · ${n === 1 ? "a model" : `${n} models`}, trained on: ${data.corpus} · `
      + "everything runs in this page, and nothing you type leaves it";
    byId("source-label").textContent = `Source, ${from}`;
    byId("source").lang = sourceLanguage;
    byId("reference-text").lang = targetLanguage;
    const scale = make("span", "scale");
    for (const weight of [0, 0.05, 0.2, 0.5, 1]) {
      const step = make("span", "", `${100 * weight} %`);
      shade(step, weight);
      scale.append(step);
    }
    byId("footer").append(make("span", "", "Part of a word's attention "), scale, make("p", "", data.note));
  }

  offerSentences() {
    byId("picking").hidden = byId("length").hidden = !data.sentences.length;
    const groups = new Map();
    for (const [source] of [...data.sentences].sort(([one], [other]) => lengthOf(one) - lengthOf(other))) {
      const name = `${rangeName(BIN * Math.floor(lengthOf(source) / BIN))} ${unit}`;
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(source);
    }
    const choices = [...groups].map(([name, sources]) => {
      const group = make("optgroup");
      group.label = name;
      group.append(...sources.map((source) => {
        const option = make("option", "", source.length > 70 ? `${source.slice(0, 69)}…` : source);
        option.value = source;
        return option;
      }));
      return group;
    });
    const none = make("option", "", "choose one by length");
    none.value = "";
    byId("picker").append(none, ...choices);
    byId("length").open = matchMedia("(min-width: 56rem)").matches;
  }

  offerSearches() {
    const sizes = [...new Set(this.systems.map(({ decode }) => decode.beam_size))];
    const own = sizes.length === 1 ? `beam of ${sizes[0]}, as trained` : "each model's own";
    const others = [1, 2, 3, 5, 10].filter((size) => sizes.length > 1 || size !== sizes[0]);
    const options = [[null, own], ...others.map((size) => [size, size === 1 ? "greedy" : `beam of ${size}`])];
    const select = selectOf(options, null, (beamSize) => {
      this.search = beamSize === null ? {} : { beamSize };
      for (const system of this.systems) system.changed();
      this.drawCurve();
    });
    select.id = "search";
    byId("search").replaceWith(select);
  }

  listen() {
    byId("source").addEventListener("input", () => {
      this.stop();
      this.later("typing", TYPING_MS, () => this.translate());
    });
    byId("picker").addEventListener("change", ({ target }) => target.value && this.pick(target.value));
    byId("random").addEventListener("click", () => {
      const others = data.sentences.filter(([source]) => source !== byId("source").value);
      const [source] = others[Math.floor(Math.random() * others.length)] ?? data.sentences[0];
      this.pick(source);
    });
    byId("subwords").addEventListener("change", () => this.systems.forEach((system) => system.draw()));
    byId("joined").addEventListener("input", ({ target }) => {
      this.stop();
      this.joining.size = Number(target.value);
      this.join();
    });
    byId("play").addEventListener("click", () => (this.joining.playing ? this.stop() : this.play()));
    byId("next").addEventListener("click", () => {
      this.joining.others();
      this.join();
    });
    byId("restart").addEventListener("click", () => {
      for (const system of this.systems) system.scored.clear();
      this.drawCurve();
    });
    addEventListener("hashchange", () => {
      const text = this.fromAddress();
      if (text !== null && text !== byId("source").value) this.pick(text);
    });
  }

  pick(text) {
    this.stop();
    this.set(text);
  }

  fromAddress() {
    return new URLSearchParams(location.hash.slice(1)).get("text");
  }

  toAddress(text) {
    try {
      history.replaceState(null, "", text ? `#text=${encodeURIComponent(text)}` : "#");
    } catch {
      // Too many changes in a short time, or a page without an address of its own: the next change tries again.
    }
  }

  set(text) {
    byId("source").value = text;
    this.translate();
  }

  translate() {
    clearTimeout(this.timers.typing);
    const typed = byId("source").value;
    const text = shorten(typed);
    byId("notice").textContent = text === typed.trim() ? "" : (
      `The text is longer than ${MAX_CHARACTERS.toLocaleString("en")} characters; only its beginning is translated.`
    );
    const reference = referenceOf(text);
    byId("reference").hidden = reference === undefined;
    byId("reference-text").textContent = reference ?? "";
    byId("picker").value = data.sentences.some(([source]) => source === text) ? text : "";
    Object.assign(this, { text, reference });
    this.waiting = new Set(this.systems);
    for (const system of this.systems) system.translate(text);
    this.later("address", ADDRESS_MS, () => this.toAddress(typed));
  }

  countLoaded() {
    this.loaded += 1;
    if (this.loaded === this.systems.length) document.documentElement.dataset.loaded = "true";
  }

  answered(system, result) {
    this.waiting.delete(system);
    const { reference } = this;
    if (result && reference && !system.forbidden.size) {
      const counts = bleuCounts(result.text, reference, tokenizer);
      system.scored.set(this.text, { length: lengthOf(this.text), counts });
    }
    if (this.waiting.size) return;
    if (reference) this.drawCurve();
    if (this.joining.playing) this.playOn();
    else this.later("announce", ANNOUNCE_MS, () => this.announce());
  }

  announce() {
    const said = this.systems.filter(({ result }) => result).map(({ name, result }) => `${name}: ${result.text}`);
    byId("live").textContent = said.join(". ");
  }

  drawCurve() {
    drawCurve(byId("curve"), this.systems, unit);
  }

  join() {
    const { joining } = this;
    byId("joined").value = joining.size;
    byId("joined-value").textContent = joining.size;
    this.set(joining.text());
  }

  play() {
    this.joining.playing = true;
    this.joining.rounds = 0;
    byId("play").textContent = "Stop";
    this.joining.size = 1;
    this.join();
  }

  /** The first round slowly, to be read; then as fast as the models are. */
  playOn() {
    this.later("play", this.joining.rounds ? PAUSE_MS : FIRST_PAUSE_MS, () => {
      this.joining.advance();
      this.join();
    });
  }

  stop() {
    clearTimeout(this.timers.play);
    this.joining.playing = false;
    byId("play").textContent = "Play";
  }
}

/** `text` without spaces around it, and without what exceeds the limit, cut between words where there are any. */
function shorten(text) {
  const trimmed = text.trim(), characters = [...trimmed];
  if (characters.length <= MAX_CHARACTERS) return trimmed;
  const start = characters.slice(0, MAX_CHARACTERS).join("");
  return start.includes(" ") ? start.slice(0, start.lastIndexOf(" ")) : start;
}

/** A worker with the engine; where workers are forbidden, the engine in this thread, in slices as well. */
function connect(system, model) {
  const local = () => {
    const { port1, port2 } = new MessageChannel();
    serve(port2);
    system.connect(port1, model);
  };
  try {
    const program = `${byId("engine").textContent}\nserve(self);`;
    const address = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
    const worker = new Worker(address);
    worker.onerror = (event) => {
      event.preventDefault();
      if (!system.ready) local();
    };
    system.connect(worker, model);
  } catch {
    local();
  }
}

const page = new Page();
// The models follow this script, so that the page appears before they are read.
document.addEventListener("DOMContentLoaded", () => {
  page.systems.forEach((system, number) => {
    const element = byId(`model-${number}`);
    connect(system, element.textContent);
    element.remove();
  });
});
