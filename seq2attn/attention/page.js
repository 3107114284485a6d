// Draws every `.attention-explorer` of the document from the JSON in it, and highlights what a word attends to.
"use strict";

(() => {
  const KINDS = {
    cross: "translation → source", encoder: "source → source", decoder: "translation → itself",
  };
  const SIDES = { source: "Source", written: "Translation", read: "Translation so far" };
  const MOST_NAMED = 4;

  const make = (tag, className = "", text = "", ...children) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...(text ? [text] : []), ...children);
    return element;
  };
  // The square root makes small weights visible; the scale above the models shows it.
  const shade = (element, weight) => element.style.setProperty("--weight", Math.sqrt(weight).toFixed(3));
  const percent = (weight) => `${(100 * weight).toFixed(weight < 0.1 ? 1 : 0)}\u00a0%`;
  // A drop of log-probability as the share of the probability that is lost; a gain is no loss.
  const lost = (drop) => Math.max(0, 1 - Math.exp(-drop));
  const change = (drop) => {
    const percents = 100 * (Math.exp(-drop) - 1);
    return `${percents < 0 ? "−" : "+"}${Math.abs(percents).toFixed(Math.abs(percents) < 10 ? 1 : 0)}\u00a0%`;
  };

  class System {
    constructor(data) {
      this.data = data;
      this.pinned = null;
      this.element = make("article", "system", "", make("h3", "", data.name));
      this.body = make("div");
      if (data.maps.length) {
        this.choice = { ...data.maps[data.shown ?? 0] };
        this.controls = make("div", "bar");
        this.element.append(this.controls, this.body);
        this.listen();
        this.draw();
      } else {
        this.element.append(this.body);
        this.drawNothing();
      }
    }

    drawNothing() {
      const target = make("div", "sentence");
      target.dir = "auto";
      target.append(...this.data.tokens.written.map((token) => make("span", "", token)));
      this.body.append(
        make("p", "quiet", this.sideName("written")), target,
        make("p", "none", "No attention: this model reads the source into one vector before it writes the first word, "
          + "and uses the same vector at every word."),
      );
    }

    sideName(side) {
      return side === "written" ? `${SIDES[side]}, ${this.data.given ? "given" : "its own"}` : SIDES[side];
    }

    // The chosen map; if the kind or layer has changed and lacks the chosen head, the first one.
    get map() {
      const { kind, layer, head } = this.choice;
      const ofKind = this.data.maps.filter((map) => map.kind === kind);
      const ofLayer = ofKind.filter((map) => map.layer === layer);
      return ofLayer.find((map) => map.head === head) ?? ofLayer[0] ?? ofKind[0];
    }

    // What can be taken from the chosen map, each in words and as drops of log-probability; nothing where none were
    // measured.
    get effects() {
      const { kind, head, drops } = this.map;
      if (!drops) return {};
      const isOnly = this.data.maps.filter((map) => map.kind === kind).length === 1;
      const own = head === null ? "this layer’s looks" : "this head’s look";
      return {
        ...(isOnly ? {} : { own_look: { name: own, drops } }),
        every_look: { name: isOnly ? "the look" : "every head’s look", drops: this.data.drops.every_look },
        left_out: { name: "the word", drops: this.data.drops.left_out },
      };
    }

    // The chosen one, or undefined.
    get effect() {
      return this.effects[this.choice.effect];
    }

    // What is taken away, followed by the source word.
    get without() {
      return `without ${this.effect.name}${this.choice.effect === "left_out" ? "" : " at"} `;
    }

    draw() {
      this.pinned = null;
      const map = this.map, effects = this.effects;
      const effect = this.choice.effect in effects ? this.choice.effect : Object.keys(effects)[0];
      this.choice = { kind: map.kind, layer: map.layer, head: map.head, effect };
      const maps = this.data.maps;
      const values = (key, among) => [...new Set(among.map((map) => map[key]))];
      const ofKind = maps.filter(({ kind }) => kind === map.kind);
      const ofLayer = ofKind.filter(({ layer }) => layer === map.layer);
      this.controls.replaceChildren(
        ...this.select("Attention", "kind", values("kind", maps), (kind) => KINDS[kind]),
        ...this.select("Layer", "layer", values("layer", ofKind), String),
        ...this.select("Head", "head", values("head", ofLayer), (head) => (head === null ? "mean of all" : `${head}`)),
        ...this.select("Without", "effect", Object.keys(effects), (key) => effects[key].name),
      );
      this.readout = make("p", "readout");
      this.readout.setAttribute("aria-live", "polite");
      this.body.replaceChildren(
        ...this.sentence("columns", map.columns), ...this.sentence("rows", map.rows, map.rows === map.columns),
        this.readout, this.tables(map),
      );
      this.clear();
    }

    select(label, key, values, text) {
      if (values.length < 2) return [];
      const select = make("select");
      select.name = key;
      select.append(...values.map((value, place) => {
        const option = make("option", "", text(value));
        option.value = place;
        option.selected = value === this.choice[key];
        return option;
      }));
      select.addEventListener("change", () => {
        this.choice[key] = values[select.value];
        this.draw();
        this.controls.querySelector(`[name=${key}]`).focus();
      });
      return [make("label", "", `${label} `, select)];
    }

    sentence(axis, side, repeated = false) {
      const line = make("div", "sentence");
      line.dir = "auto";
      line.dataset.axis = axis;
      this.data.tokens[side].forEach((token, place) => {
        const button = make("button", "", token);
        button.type = "button";
        button.dataset[axis === "rows" ? "row" : "column"] = place;
        if (this.canForbid({ row: axis === "rows" ? place : null, column: place })) button.setAttribute("aria-pressed", false);
        line.append(button);
      });
      return [make("p", "quiet", repeated ? `${this.sideName(side)}, attending to itself` : this.sideName(side)), line];
    }

    // The weights, and beside them what is lost without what was chosen.
    tables(map) {
      const [rows, columns] = [map.rows, map.columns].map((side) => this.data.tokens[side]);
      const tables = make("div", "tables", "", this.table(map.title, rows, columns, map.weights));
      if (this.effect) {
        const { name, drops } = this.effect;
        const shares = drops.map((line) => line.map(lost));
        const table = this.table(`probability lost without ${name}`, rows, columns.slice(0, drops[0].length), shares);
        table.classList.add("lost");
        const note = "Each word loses it in its own step alone: all words before it stay as they are written.";
        table.append(make("p", "quiet", this.choice.effect === "left_out" ? "" : note));
        tables.append(table);
      }
      return tables;
    }

    table(title, rows, columns, values) {
      const head = make("tr", "", "", make("td"));
      columns.forEach((token, place) => {
        const cell = make("th", "", token);
        cell.scope = "col";
        cell.dataset.column = place;
        head.append(cell);
      });
      const body = make("tbody");
      values.forEach((shares, row) => {
        const label = make("th", "", rows[row]);
        label.scope = "row";
        const line = make("tr", "", "", label);
        line.dataset.row = row;
        shares.forEach((share, column) => {
          const cell = make("td");
          cell.dataset.column = column;
          shade(cell, share);
          line.append(cell);
        });
        body.append(line);
      });
      const table = make("table", "", "", make("thead", "", "", head), body);
      const details = make("details", "", "", make("summary", "", title), make("div", "scroll", "", table));
      details.open = true;
      return details;
    }

    // Whether it is a source word without which the translation was measured.
    canForbid({ row, column }) {
      return Boolean(this.effect) && row === null && column < this.effect.drops[0].length;
    }

    listen() {
      const placeOf = (event) => {
        const at = (key) => {
          const found = event.target.closest?.(`[data-${key}]`)?.dataset[key];
          return found === undefined ? null : Number(found);
        };
        return { row: at("row"), column: at("column") };
      };
      const light = (event) => {
        const place = placeOf(event);
        if (place.row !== null || place.column !== null) this.light(place);
        return place;
      };
      this.body.addEventListener("pointerover", light);
      this.body.addEventListener("focusin", light);
      this.body.addEventListener("click", (event) => {
        const place = light(event);
        if (place.row === null && place.column === null) return;
        const again = this.pinned?.isForbidden && this.pinned.column === place.column && place.row === null;
        this.pinned = again ? null : { ...place, isForbidden: this.canForbid(place) };
        if (this.pinned) this.light(this.pinned);
      });
      this.body.addEventListener("pointerleave", () => (this.pinned ? this.light(this.pinned) : this.clear()));
      this.body.addEventListener("keydown", (event) => this.walk(event));
    }

    // Arrow keys move to the neighbour on the screen; Escape ends the highlighting.
    walk(event) {
      if (event.key === "Escape") {
        this.pinned = null;
        this.clear();
      }
      const line = event.target.closest(".sentence");
      if (!line || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const forwards = (event.key === "ArrowRight") === (getComputedStyle(line).direction === "ltr");
      const next = forwards ? event.target.nextElementSibling : event.target.previousElementSibling;
      next?.focus();
      event.preventDefault();
    }

    clear() {
      this.body.querySelectorAll(".looks").forEach((element) => element.classList.remove("looks"));
      this.body.querySelectorAll(".sentence.lost").forEach((line) => line.classList.remove("lost"));
      this.body.querySelectorAll("[aria-pressed=true]").forEach((button) => button.setAttribute("aria-pressed", false));
      this.body.querySelectorAll(".sentence > *").forEach((element) => element.style.removeProperty("--weight"));
      const more = this.effect ? ` Click a source word to see the translation ${this.without}it.` : "";
      this.readout.textContent = `Point at a word, tap it, or use Tab and the arrow keys.${more}`;
    }

    // Highlight what `row` attends to or, without a row, the words that attend to `column`; where that is forbidden,
    // the words that lose by it.
    light({ row, column, isForbidden = false }) {
      this.clear();
      const map = this.map;
      const byRow = row !== null, place = byRow ? row : column;
      const along = (matrix) => (byRow ? matrix[row] : matrix.map((line) => line[column]));
      const weights = along(map.weights);
      const drops = byRow || this.canForbid({ row, column }) ? this.effect && along(this.effect.drops) : null;
      const [own, other] = byRow ? ["rows", "columns"] : ["columns", "rows"];
      const line = (axis) => this.body.querySelector(`[data-axis=${axis}]`);
      line(own).children[place].classList.add("looks");
      [...line(other).children].forEach((element, index) => (
        shade(element, isForbidden ? lost(drops[index]) : weights[index])
      ));
      if (isForbidden) {
        line(other).classList.add("lost");
        line(own).children[place].setAttribute("aria-pressed", true);
      }
      const inTables = (selector) => (
        this.body.querySelectorAll(selector).forEach((element) => element.classList.add("looks"))
      );
      if (byRow) inTables(`tr[data-row="${row}"] th`);
      if (column !== null) inTables(`thead th[data-column="${column}"]`);
      const [from, to] = [own, other].map((axis) => this.data.tokens[map[axis]]);
      const first = byRow ? column : null, word = make("bdi", "", from[place]);
      const looks = make("span", "", "", word, byRow ? " attends to " : " is attended to by ",
        ...this.named(weights, to, first, percent));
      this.readout.replaceChildren(looks);
      if (drops) this.readout.append(make("br"), this.described(drops, word.cloneNode(true), byRow, to, first));
    }

    // What is lost without the chosen look or word.
    described(drops, word, byRow, to, first) {
      const start = byRow ? [word, ` ${this.without}`] : [`W${this.without.slice(1)}`, word, ": "];
      const named = this.named(drops, to, first, change);
      return make("span", "", "", ...start, ...(named.length ? named : ["no change"]));
    }

    // The words with the largest values, that at `first` before them.
    named(values, words, first, text) {
      const order = values.map((_, index) => index).sort((a, b) => values[b] - values[a]).slice(0, MOST_NAMED);
      const isNamed = first !== null && first < values.length;
      const named = isNamed ? [first, ...order.filter((index) => index !== first)] : order;
      const shown = named.filter((index) => !/^.?0[.]0/.test(text(values[index])));
      return shown.flatMap((index) => [make("bdi", "", words[index]), `\u00a0${text(values[index])} `]);
    }
  }

  for (const element of document.querySelectorAll(".attention-explorer")) {
    const data = JSON.parse(element.querySelector("script").textContent);
    const source = make("p", "source", data.source);
    source.dir = "auto";
    const scale = make("span", "scale");
    for (const weight of [0, 0.05, 0.2, 0.5, 1]) {
      const step = make("span", "", `${100 * weight} %`);
      shade(step, weight);
      scale.append(step);
    }
    const systems = data.systems.map((system) => new System(system));
    const switches = systems.map((system) => {
      const box = make("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => { system.element.hidden = !box.checked; });
      return make("label", "", "", box, ` ${system.data.name}`);
    });
    const scaleName = data.systems.some((system) => system.drops)
      ? "Part of a word's attention, or of its probability that is lost " : "Part of a word's attention ";
    const bar = make("div", "bar", "", make("span", "quiet", scaleName), scale);
    element.append(source, bar);
    if (systems.length > 1) element.append(make("div", "bar models", "", make("span", "quiet", "Models"), ...switches));
    element.append(make("div", "systems", "", ...systems.map((system) => system.element)));
  }
})();
