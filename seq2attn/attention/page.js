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

    draw() {
      this.pinned = null;
      const map = this.map;
      this.choice = { kind: map.kind, layer: map.layer, head: map.head };
      const maps = this.data.maps;
      const values = (key, among) => [...new Set(among.map((map) => map[key]))];
      const ofKind = maps.filter(({ kind }) => kind === map.kind);
      this.controls.replaceChildren(
        ...this.select("Attention", "kind", values("kind", maps), (kind) => KINDS[kind]),
        ...this.select("Layer", "layer", values("layer", ofKind), String),
        ...this.select("Head", "head", values("head", ofKind), (head) => (head === null ? "mean of all" : String(head))),
      );
      this.readout = make("p", "readout");
      this.readout.setAttribute("aria-live", "polite");
      this.body.replaceChildren(
        ...this.sentence("columns", map.columns), ...this.sentence("rows", map.rows, map.rows === map.columns),
        this.readout, this.table(map),
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
        line.append(button);
      });
      return [make("p", "quiet", repeated ? `${this.sideName(side)}, attending to itself` : this.sideName(side)), line];
    }

    table(map) {
      const rows = this.data.tokens[map.rows], columns = this.data.tokens[map.columns];
      const head = make("tr", "", "", make("td"));
      columns.forEach((token, place) => {
        const cell = make("th", "", token);
        cell.scope = "col";
        cell.dataset.column = place;
        head.append(cell);
      });
      const body = make("tbody");
      map.weights.forEach((weights, row) => {
        const label = make("th", "", rows[row]);
        label.scope = "row";
        const line = make("tr", "", "", label);
        line.dataset.row = row;
        weights.forEach((weight, column) => {
          const cell = make("td");
          cell.dataset.column = column;
          shade(cell, weight);
          line.append(cell);
        });
        body.append(line);
      });
      const table = make("table", "", "", make("thead", "", "", head), body);
      const details = make("details", "", "", make("summary", "", map.title), make("div", "scroll", "", table));
      details.open = true;
      return details;
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
        if (place.row !== null || place.column !== null) this.pinned = place;
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
      this.body.querySelectorAll(".sentence > *").forEach((element) => element.style.removeProperty("--weight"));
      this.readout.textContent = "Point at a word, tap it, or use Tab and the arrow keys.";
    }

    // Highlight what `row` attends to or, without a row, the words that attend to `column`.
    light({ row, column }) {
      this.clear();
      const map = this.map;
      const byRow = row !== null;
      const weights = byRow ? map.weights[row] : map.weights.map((line) => line[column]);
      const [own, other] = byRow ? ["rows", "columns"] : ["columns", "rows"];
      const words = (axis) => this.body.querySelector(`[data-axis=${axis}]`).children;
      words(own)[byRow ? row : column].classList.add("looks");
      [...words(other)].forEach((element, place) => shade(element, weights[place]));
      if (byRow) this.body.querySelector(`tr[data-row="${row}"] th`).classList.add("looks");
      if (column !== null) this.body.querySelector(`thead th[data-column="${column}"]`).classList.add("looks");
      this.describe(map, own, byRow ? row : column, other, weights, byRow && column !== null ? column : null);
    }

    describe(map, own, place, other, weights, first) {
      const [from, to] = [own, other].map((axis) => this.data.tokens[map[axis]]);
      const order = weights.map((_, index) => index).sort((a, b) => weights[b] - weights[a]).slice(0, MOST_NAMED);
      const named = first === null ? order : [first, ...order.filter((index) => index !== first)];
      const parts = named.flatMap((index) => [make("bdi", "", to[index]), `\u00a0${percent(weights[index])} `]);
      this.readout.replaceChildren(
        make("bdi", "", from[place]), own === "rows" ? " attends to " : " is attended to by ", ...parts,
      );
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
    const bar = make("div", "bar", "", make("span", "quiet", "Part of a word's attention "), scale);
    element.append(source, bar);
    if (systems.length > 1) element.append(make("div", "bar models", "", make("span", "quiet", "Models"), ...switches));
    element.append(make("div", "systems", "", ...systems.map((system) => system.element)));
  }
})();
