// BLEU so far by length of the source, one line a system; and the same numbers as a table.
"use strict";

const WIDTH = 520, HEIGHT = 230, EDGE = { left: 34, right: 14, top: 12, bottom: 38 };
const BIN = 10, ASIDE = 7;

/** Scores of each system in bins of 10 words: { first, n, scores }, of bins that have any. */
function scoresByLength(systems) {
  const bins = new Map();
  systems.forEach((system, number) => {
    for (const { length, counts } of system.scored.values()) {
      const first = BIN * Math.floor(length / BIN);
      if (!bins.has(first)) bins.set(first, systems.map(() => []));
      bins.get(first)[number].push(counts);
    }
  });
  return [...bins].sort(([left], [right]) => left - right).map(([first, lists]) => ({
    first,
    n: Math.max(...lists.map((list) => list.length)),
    scores: lists.map((list) => (list.length ? bleu(list) : null)),
  }));
}

function drawCurve(place, systems, unit) {
  const bins = scoresByLength(systems);
  if (!bins.length) {
    place.replaceChildren(make("p", "quiet", "The curve appears here: BLEU by length, of all test sentences translated so "
      + "far. Play joins 1 to 8 sentences in turn."));
    return;
  }
  place.replaceChildren(curve(bins, systems), scoreTable(bins, systems, unit));
}

function curve(bins, systems) {
  const most = Math.max(10, ...bins.flatMap(({ scores }) => scores)), step = most > 50 ? 20 : 10;
  const top = Math.min(100, step * Math.ceil(most / step));
  const last = Math.max(bins.at(-1).first, 30);
  const x = (first) => EDGE.left + (WIDTH - EDGE.left - EDGE.right) * (first / BIN + 0.5) / (last / BIN + 1);
  const y = (score) => HEIGHT - EDGE.bottom - (HEIGHT - EDGE.top - EDGE.bottom) * score / top;
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", "aria-hidden": "true" });
  const label = (text, attributes) => svg("text", attributes, text);
  for (let score = 0; score <= top; score += step) {
    chart.append(svg("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(score), y2: y(score), class: "grid" }));
    chart.append(label(String(score), { x: EDGE.left - 6, y: y(score) + 4, "text-anchor": "end" }));
  }
  for (const { first, n } of bins) {
    chart.append(label(rangeName(first), { x: x(first), y: HEIGHT - 20, "text-anchor": "middle" }));
    chart.append(label(`${n} ${n === 1 ? "text" : "texts"}`, { x: x(first), y: HEIGHT - 5, "text-anchor": "middle", class: "small" }));
  }
  systems.forEach((system, number) => {
    const aside = ASIDE * (number - (systems.length - 1) / 2); // so that equal scores are seen side by side
    const points = bins.filter(({ scores }) => scores[number] !== null)
      .map(({ first, scores }) => [x(first) + aside, y(scores[number])]);
    const group = svg("g", { "data-system": number });
    group.append(svg("polyline", { points: points.map((point) => point.join(",")).join(" "), class: "line" }));
    group.append(...points.map(([left, above]) => marker(number, left, above, 5)));
    chart.append(group);
  });
  return chart;
}

const rangeName = (first) => `${first}–${first + BIN - 1}`;

function scoreTable(bins, systems, unit) {
  const cell = (tag, text, scope) => {
    const element = make(tag, "", text);
    if (scope) element.scope = scope;
    return element;
  };
  const head = make("tr", "", "", cell("th", `BLEU by ${unit} of the source`, "col"));
  head.append(...bins.map(({ first }) => cell("th", rangeName(first), "col")));
  const rows = systems.map((system, number) => {
    const name = make("th", "", "", swatch(number), make("bdi", "", system.name));
    name.scope = "row";
    const row = make("tr", "", "", name);
    row.dataset.system = number;
    row.append(...bins.map(({ scores }) => cell("td", scores[number] === null ? "–" : scores[number].toFixed(1))));
    return row;
  });
  const table = make("table", "scores", "", make("thead", "", "", head), make("tbody", "", "", ...rows));
  return make("div", "scroll", "", table);
}
