// A translation and its source as words that light up, and the map of the chosen attention.
"use strict";

const AXES = { cross: ["written", "source"], encoder: ["source", "source"], decoder: ["written", "read"] };
const KIND_NAMES = {
  cross: "translation → source", encoder: "source → source", decoder: "translation → itself",
};
const SIDES = { source: "Source", written: "Translation", read: "Translation so far" };
const MOST_NAMED = 4;

/** Draws into `body`, with `controls` above the map; `onForbid` takes the positions of a source word's subwords. */
class AttentionView {
  constructor(body, controls, onForbid) {
    this.body = body;
    this.controls = controls;
    this.onForbid = onForbid;
    this.pinned = null;
    this.details = make("details", "map");
    this.details.open = true;
    this.readout = make("p", "readout");
    this.readout.setAttribute("aria-live", "polite");
    this.listen();
  }

  /** `choice`: { kind, layer, head }, head null for the mean; `forbidden`: positions of the source. */
  show(result, choice, { asSubwords, forbidden, languages }) {
    const focused = this.body.contains(document.activeElement) ? { ...document.activeElement.dataset } : null;
    const group = asSubwords ? singleSubwords : groupSubwords;
    this.pinned = null;
    this.languages = languages;
    this.forbidden = forbidden;
    this.kind = choice?.kind;
    this.sides = {
      source: group(result.source), written: group(result.written), read: group(["<s>", ...result.written.slice(0, -1)]),
    };
    if (!choice) {
      this.drawNothing();
      return;
    }
    [this.rows, this.columns] = AXES[choice.kind].map((side) => this.sides[side]);
    const ofLayer = result.maps.filter(({ kind, layer }) => kind === choice.kind && layer === choice.layer);
    const chosen = ofLayer.filter(({ head }) => choice.head === null || head === choice.head);
    this.weights = mergeWeights(meanOf(chosen.map(({ weights }) => weights)), this.rows, this.columns);
    this.draw();
    this.restoreFocus(focused);
  }

  drawNothing() {
    const line = make("div", "sentence");
    line.dir = "auto";
    line.lang = this.languages[1];
    line.append(...this.sides.written.labels.map((label) => make("span", "", label)));
    this.weights = null;
    this.body.replaceChildren(
      make("p", "quiet", SIDES.written), line,
      make("p", "none", "No attention: this model reads the source into one vector before it writes the first word, "
        + "and uses the same vector at every word."),
    );
  }

  draw() {
    const [rows, columns] = AXES[this.kind];
    this.details.replaceChildren(
      make("summary", "", `Map: ${KIND_NAMES[this.kind]}`), make("div", "scroll", "", this.table()),
    );
    this.body.replaceChildren(
      ...this.line("rows", rows), ...this.line("columns", columns, rows === columns), this.readout, this.controls,
      this.details,
    );
    this.clear();
  }

  line(axis, side, repeated = false) {
    const line = make("div", "sentence");
    line.dir = "auto";
    line.lang = this.languages[side === "source" ? 0 : 1];
    line.dataset.axis = axis;
    this.sides[side].labels.forEach((label, place) => {
      const word = button(label, () => {});
      word.dataset[axis === "rows" ? "row" : "column"] = place;
      word.tabIndex = place ? -1 : 0;
      if (this.canForbid(axis)) word.setAttribute("aria-pressed", String(this.isForbidden(place)));
      line.append(word);
    });
    line.setAttribute("role", "group");
    const name = repeated ? `${SIDES[side]}, attending to itself` : SIDES[side];
    const pressing = this.canForbid(axis) ? "; a pressed word may not be looked at" : "";
    line.setAttribute("aria-label", `${name}: arrow keys move between words${pressing}`);
    return [make("p", "quiet", name), line];
  }

  canForbid(axis) {
    return axis === "columns" && this.kind === "cross";
  }

  /** The positions of the subwords of a source word. */
  positionsOf(place) {
    const { wordOf } = this.sides.source;
    return wordOf.map((_, position) => position).filter((position) => wordOf[position] === place);
  }

  isForbidden(place) {
    return this.positionsOf(place).every((position) => this.forbidden.has(position));
  }

  table() {
    const head = make("tr", "", "", make("td"));
    this.columns.labels.forEach((label, column) => {
      const cell = make("th", "", label);
      cell.scope = "col";
      cell.dataset.column = column;
      head.append(cell);
    });
    const body = make("tbody");
    this.weights.forEach((weights, row) => {
      const label = make("th", "", this.rows.labels[row]);
      label.scope = "row";
      const line = make("tr", "", "", label);
      line.dataset.row = row;
      weights.forEach((weight, column) => {
        const cell = make("td", "", String(Math.round(100 * weight)));
        cell.dataset.column = column;
        shade(cell, weight);
        line.append(cell);
      });
      body.append(line);
    });
    const caption = make("caption", "hidden", `Attention in per cent, ${KIND_NAMES[this.kind]}: rows attend to columns`);
    const table = make("table", "weights", "", caption, make("thead", "", "", head), body);
    table.style.setProperty("--columns", this.columns.labels.length);
    return table;
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
      if (this.weights && (place.row !== null || place.column !== null)) this.light(place);
      return place;
    };
    this.body.addEventListener("pointerover", light);
    this.body.addEventListener("focusin", light);
    this.body.addEventListener("click", (event) => {
      const { row, column } = light(event);
      if (column !== null && this.kind === "cross") this.onForbid(this.positionsOf(column), this.isForbidden(column));
      else if (row !== null || column !== null) this.pinned = { row, column };
    });
    this.body.addEventListener("pointerleave", () => {
      if (!this.weights) return;
      if (this.pinned) this.light(this.pinned);
      else this.clear();
    });
    this.body.addEventListener("keydown", (event) => this.walk(event));
  }

  // Tab stops once at each line; arrow keys move to the neighbour on the screen; Escape ends the highlighting.
  walk(event) {
    if (event.key === "Escape" && this.weights) {
      this.pinned = null;
      this.clear();
    }
    const line = event.target.closest(".sentence");
    if (!line || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    const forwards = (event.key === "ArrowRight") === (getComputedStyle(line).direction === "ltr");
    const next = forwards ? event.target.nextElementSibling : event.target.previousElementSibling;
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  restoreFocus(place) {
    const key = place && ["row", "column"].find((name) => place[name] !== undefined);
    if (key) this.body.querySelector(`.sentence [data-${key}="${place[key]}"]`)?.focus();
  }

  clear() {
    this.body.querySelectorAll(".looks").forEach((element) => element.classList.remove("looks"));
    this.body.querySelectorAll(".sentence > *").forEach((element) => element.style.removeProperty("--weight"));
    this.readout.textContent = this.kind === "cross"
      ? "Point at a word to see where it looks. Click a source word, and no word may look there."
      : "Point at a word to see where it looks.";
  }

  // Highlight what `row` attends to or, without a row, the words that attend to `column`.
  light({ row, column }) {
    this.clear();
    const byRow = row !== null;
    const weights = byRow ? [...this.weights[row]] : this.weights.map((line) => line[column]);
    const [own, other] = byRow ? ["rows", "columns"] : ["columns", "rows"];
    const words = (axis) => this.body.querySelector(`[data-axis=${axis}]`).children;
    words(own)[byRow ? row : column].classList.add("looks");
    [...words(other)].forEach((element, place) => shade(element, weights[place]));
    const inMap = (selector) => this.body.querySelector(selector).classList.add("looks");
    if (byRow) inMap(`tr[data-row="${row}"]`);
    if (column !== null) inMap(`thead th[data-column="${column}"]`);
    this.describe(own, byRow ? row : column, other, weights, byRow ? column : null);
  }

  describe(own, place, other, weights, first) {
    const [from, to] = [this[own].labels, this[other].labels];
    const order = weights.map((_, index) => index).sort((a, b) => weights[b] - weights[a]).slice(0, MOST_NAMED);
    const named = first === null ? order : [first, ...order.filter((index) => index !== first)];
    const parts = named.flatMap((index) => [make("bdi", "", to[index]), `\u00a0${percent(weights[index])} `]);
    this.readout.replaceChildren(
      make("bdi", "", from[place]), own === "rows" ? " attends to " : " is attended to by ", ...parts,
    );
  }
}
