// One model: its thread, its translation, and what a reader switches.
"use strict";

class System {
  /** `host`: { settings() → { languages, asSubwords }, search() → options, request(system), answered(system, result) }. */
  constructor(number, { name, about, decode }, host) {
    Object.assign(this, { number, name, decode, host });
    this.off = new Set(); // heads, as "kind layer head"
    this.forbidden = new Set(); // positions of the source
    this.scored = new Map(); // of a source text: { length, counts }
    this.choice = null;
    this.result = null;
    this.ready = false;
    this.wanted = null;
    this.asked = 0;
    this.build(about);
  }

  build(about) {
    const title = make("h2", "", "", swatch(this.number), make("bdi", "", this.name));
    title.id = `system-${this.number}`;
    this.time = make("span", "time");
    this.state = make("p", "state", "Unpacking the weights …");
    this.controls = make("div", "bar");
    this.body = make("div", "body");
    this.view = new AttentionView(this.body, this.controls, (positions, allowed) => this.forbid(positions, allowed));
    this.free = button("Allow every look", () => this.forbid([...this.forbidden], true));
    this.heads = make("details", "heads");
    this.tree = make("details", "beam", "", make("summary", "", "The search as a tree"));
    this.tree.addEventListener("toggle", () => this.drawTree());
    this.element = make(
      "article", "system panel", "", make("header", "", "", title, this.time), ...about.map((line) => make("p", "quiet", line)),
      this.state, this.body, this.heads, this.tree,
    );
    this.element.dataset.system = this.number;
    this.element.setAttribute("aria-labelledby", title.id);
    for (const part of [this.heads, this.tree]) part.hidden = true;
  }

  /** Hands the model to `port`, on which `serve` of worker.js answers. */
  connect(port, model) {
    this.port = port;
    port.onmessage = ({ data }) => this.receive(data);
    port.postMessage({ load: model });
  }

  receive({ ready, simd, id, partial, result, error }) {
    if (ready) {
      this.ready = true;
      this.element.dataset.simd = simd;
      this.state.textContent = "";
      this.host.loaded(this);
      this.send();
    } else if (id !== this.asked) {
      return;
    } else if (partial !== undefined) {
      this.showPartial(partial);
    } else {
      this.element.removeAttribute("aria-busy");
      this.state.textContent = error ? `Not translated: ${error}.` : "";
      if (!error) this.take(result);
      this.host.answered(this, error ? null : result);
    }
  }

  /** Asks for the translation of `text`, instead of the one before. */
  translate(text) {
    if (this.wanted !== text) this.forbidden.clear();
    this.wanted = text;
    this.send();
  }

  send() {
    if (!this.ready || this.wanted === null) return;
    this.asked += 1;
    if (!this.wanted) {
      this.port.postMessage({ id: this.asked });
      this.showEmpty();
      this.host.answered(this, null);
      return;
    }
    this.element.setAttribute("aria-busy", "true");
    const options = { ...this.host.search(), gates: this.gates(), forbidden: [...this.forbidden] };
    this.port.postMessage({ id: this.asked, text: this.wanted, options });
  }

  /** What the switches changed makes earlier scores those of another system. */
  changed() {
    this.scored.clear();
    this.send();
  }

  gates() {
    const gates = {};
    for (const place of this.off) {
      const [kind, layer, head] = place.split(" ");
      ((gates[kind] ??= [])[layer] ??= [])[head] = 0;
    }
    return gates;
  }

  forbid(positions, allowed) {
    for (const position of positions) {
      if (allowed) this.forbidden.delete(position);
      else this.forbidden.add(position);
    }
    if (this.result && this.forbidden.size >= this.result.source.length) {
      for (const position of positions) this.forbidden.delete(position);
      this.state.textContent = "The model must be allowed to look at one word at least.";
      return;
    }
    this.send();
  }

  showEmpty() {
    this.result = null;
    this.time.textContent = "";
    this.element.removeAttribute("aria-busy");
    this.body.replaceChildren();
    this.heads.hidden = this.tree.hidden = true;
  }

  showPartial(text) {
    const line = make("p", "partial", text);
    line.dir = "auto";
    this.body.replaceChildren(make("p", "quiet", SIDES.written), line);
  }

  take(result) {
    this.result = result;
    if (!result.source.length) {
      this.showEmpty();
      return;
    }
    this.time.textContent = timeName(result.milliseconds);
    const notes = [];
    if (!result.finished) notes.push("Cut off: the model did not end its translation in time.");
    if (result.parts > 1) notes.push(`Translated in ${result.parts} parts; words and map are those of the first.`);
    this.state.textContent = notes.join(" ");
    if (!this.heads.hasChildNodes()) this.buildHeads();
    this.draw();
  }

  draw() {
    if (!this.result) return;
    this.keepChoice();
    this.drawControls();
    this.view.show(this.result, this.choice, { ...this.host.settings(), forbidden: this.forbidden });
    this.heads.hidden = !this.result.maps.length;
    this.tree.hidden = false;
    this.drawTree();
  }

  /** The chosen map; of a kind or layer that lacks the head, the mean. By default that of attention/maps.py. */
  keepChoice() {
    const { maps } = this.result;
    if (!maps.length) {
      this.choice = null;
      return;
    }
    const { kind = "cross", layer, head = null } = this.choice ?? {};
    const layers = new Set(maps.filter((map) => map.kind === kind).map((map) => map.layer)).size;
    const chosen = layer ?? (layers > 2 ? layers - 2 : layers - 1);
    const heads = maps.filter((map) => map.kind === kind && map.layer === chosen).length;
    this.choice = { kind, layer: chosen, head: heads === 1 ? 0 : head < heads ? head : null };
  }

  drawControls() {
    const { maps } = this.result, focused = document.activeElement.name;
    const values = (key, among) => [...new Set(among.map((map) => map[key]))];
    const pick = (label, key, options) => {
      if (options.length < 2) return [];
      const select = selectOf(options, this.choice[key], (value) => {
        this.choice[key] = value;
        if (key === "kind") delete this.choice.layer;
        this.draw();
      });
      select.name = key;
      return [make("label", "", `${label} `, select)];
    };
    const ofKind = this.choice ? maps.filter(({ kind }) => kind === this.choice.kind) : [];
    const heads = values("head", ofKind);
    const kinds = ["cross", "encoder", "decoder"].filter((kind) => maps.some((map) => map.kind === kind));
    const inside = this.controls.contains(document.activeElement);
    this.controls.replaceChildren(
      ...pick("Attention", "kind", kinds.map((kind) => [kind, KIND_NAMES[kind]])),
      ...pick("Layer", "layer", values("layer", ofKind).map((layer) => [layer, String(layer + 1)])),
      ...pick("Head", "head", heads.length < 2 ? [] : [[null, "mean of all"], ...heads.map((head) => [head, String(head + 1)])]),
      ...(this.forbidden.size ? [this.free] : []),
    );
    if (inside) this.controls.querySelector(`[name="${focused}"]`)?.focus();
  }

  buildHeads() {
    const { maps } = this.result;
    if (!maps.length) return;
    const count = make("span");
    const update = () => {
      count.textContent = this.off.size ? `Heads: ${this.off.size} of ${maps.length} switched off` : "Switch heads off";
    };
    const toggle = ({ kind, layer, head }) => {
      const place = `${kind} ${layer} ${head}`;
      const one = button(maps.length === 1 ? "attention" : String(head + 1), () => {
        if (!this.off.delete(place)) this.off.add(place);
        one.setAttribute("aria-pressed", String(!this.off.has(place)));
        update();
        this.changed();
      }, "head");
      one.setAttribute("aria-pressed", "true");
      if (maps.length > 1) one.setAttribute("aria-label", `${KIND_NAMES[kind]}, layer ${layer + 1}, head ${head + 1}`);
      return one;
    };
    const rows = new Map();
    for (const map of maps) {
      const name = maps.length === 1 ? "Its context" : `${KIND_NAMES[map.kind]}, layer ${map.layer + 1}`;
      if (!rows.has(name)) rows.set(name, []);
      rows.get(name).push(toggle(map));
    }
    const lines = [...rows].map(([name, buttons]) => make("div", "bar", "", make("span", "quiet", name), ...buttons));
    update();
    this.heads.append(make("summary", "", "", count), ...lines);
  }

  drawTree() {
    if (!this.tree.open || !this.result) return;
    const { lengthPenalty = this.decode.length_penalty } = this.host.search();
    const summary = this.tree.firstChild;
    this.tree.replaceChildren(summary, ...drawTree(this.result.tree, lengthPenalty));
  }
}
