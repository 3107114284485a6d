// Translates for the page in a thread of its own. It works in slices, so that a newer request overtakes an older one.
"use strict";

const SLICE_MS = 25;

/**
 * Answers what arrives at `port`, a worker's global scope or an end of a MessageChannel: first { load }, the JSON of a
 * model, with { ready, simd }; then { id, text, options } with { id, partial } while it translates, and at the end with
 * { id, result } or { id, error }. A request that is overtaken by the next has no answer; { id } alone stops it.
 */
function serve(port) {
  const breath = new MessageChannel();
  const breathe = () => new Promise((resolve) => {
    breath.port1.onmessage = resolve;
    breath.port2.postMessage(null);
  });
  let translator = null, latest = null;

  const translate = async ({ id, text, options }) => {
    const began = performance.now(), steps = translator.steps(text, options), levels = [];
    let slice = began;
    for (;;) {
      const { value, done } = steps.next();
      if (done) {
        const result = { ...describe(translator, value[0], levels), milliseconds: performance.now() - began };
        port.postMessage({ id, result });
        return;
      }
      levels.push(value);
      if (performance.now() - slice < SLICE_MS) continue;
      port.postMessage({ id, partial: textOf(translator, value[0]) });
      await breathe();
      if (latest !== id) return;
      slice = performance.now();
    }
  };

  port.onmessage = ({ data }) => {
    if (data.load) {
      const description = JSON.parse(data.load);
      translator = new seq2attn.Translator(description, seq2attn.bytesOf(description.weights));
      port.postMessage({ ready: true, simd: Boolean(translator.model.embeddings.output.kernel) });
      return;
    }
    latest = data.id;
    if (data.text === undefined) return;
    translate(data).catch((error) => port.postMessage({ id: data.id, error: error.message }));
  };
}

const isEnd = (translator, node) => translator.target.pieces[node.token] === "</s>";

/** The text of the hypothesis that ends with `node`. */
function textOf(translator, node) {
  const tokens = [];
  for (let at = node; at.parent; at = at.parent) tokens.push(at.token);
  return translator.target.decode(tokens.reverse());
}

/** What the page shows of a translation, without references to the model. Weights are those of the first part. */
function describe(translator, best, levels) {
  const [part] = best.parts;
  if (!part) return { text: best.text, source: [], written: [], maps: [], tree: [], finished: true, parts: 0 };
  const { ids, memory, hypothesis } = part;
  return {
    text: best.text,
    finished: best.finished,
    parts: best.parts.length,
    source: ids.map((id) => translator.source.pieces[id]),
    written: hypothesis.nodes.map(({ token }) => translator.target.pieces[token]),
    maps: mapsOf(memory, hypothesis.nodes),
    tree: best.parts.length > 1 ? [] : treeOf(translator, levels, hypothesis.nodes),
  };
}

/** { kind, layer, head, weights } of each head, counted from 0; weights are rows of numbers. */
function mapsOf(memory, nodes) {
  const maps = [];
  const add = (kind, layers, weightsOf) => layers.forEach((heads, layer) => heads.forEach((_, head) => {
    maps.push({ kind, layer, head, weights: weightsOf(layer, head) });
  }));
  for (const kind of ["cross", "decoder"]) {
    add(kind, nodes[0].maps[kind], (layer, head) => nodes.map((node) => node.maps[kind][layer][head]));
  }
  const rows = (matrix) => Array.from({ length: matrix.rows }, (_, index) => matrix.row(index).slice());
  add("encoder", memory.maps, (layer, head) => rows(memory.maps[layer][head]));
  return maps;
}

/** The nodes of all steps of a search, parents before children: { piece, parent, step, probability, total, best }. */
function treeOf(translator, levels, path) {
  const nodes = levels.flat(), numbers = new Map(nodes.map((node, number) => [node, number])), best = new Set(path);
  return nodes.map((node) => ({
    piece: translator.target.pieces[node.token],
    parent: numbers.get(node.parent) ?? null,
    step: node.length,
    probability: Math.exp(node.logProbability),
    total: node.total,
    ends: isEnd(translator, node),
    best: best.has(node),
  }));
}
