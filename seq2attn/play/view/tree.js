// A search as a tree: what was kept at every step, from left to right, and the path of the translation.
"use strict";

const LANE = 30, GAP = 26, MARGIN = 8;

/** The tree of `nodes` as an SVG, with finished translations below it; `penalty`: exponent of the length. */
function drawTree(nodes, penalty) {
  if (!nodes.length) return [make("p", "quiet", "A text that is translated in several parts has no single tree.")];
  const steps = [];
  for (const node of nodes) (steps[node.step - 1] ??= []).push(node);
  let left = MARGIN;
  for (const level of steps) {
    const width = 16 + 7.6 * Math.max(...level.map((node) => [...shownPiece(node)].length));
    level.forEach((node, lane) => Object.assign(node, { x: left, y: MARGIN + lane * LANE, width }));
    left += width + GAP;
  }
  const height = 2 * MARGIN + LANE * Math.max(...steps.map((level) => level.length));
  const picture = svg("svg", { width: left - GAP + MARGIN, height, class: "tree", role: "img" });
  const finished = nodes.filter(({ ends }) => ends).sort((one, other) => score(other, penalty) - score(one, penalty));
  picture.setAttribute("aria-label", `${nodes.length} partial translations were kept in ${steps.length} steps`);
  picture.append(...nodes.filter(({ parent }) => parent !== null).map((node) => edge(nodes[node.parent], node)));
  picture.append(...nodes.map(box));
  const scroll = make("div", "scroll", "", picture);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", "Tree of the search, scrolls sideways");
  return [scroll, ...finishedList(nodes, finished, penalty)];
}

const score = ({ total, step }, penalty) => total / step ** penalty;

function shownPiece({ piece, step }) {
  const text = SPELLED_OUT[piece] ?? piece.replaceAll(WORD_START, "");
  const continues = step > 1 && !piece.startsWith(WORD_START) && !ALONE.has(piece) && !PUNCTUATION.test(text);
  return continues ? `-${text}` : text || "␣";
}

function edge(from, to) {
  const [x1, y1, x2, y2] = [from.x + from.width, from.y + 11, to.x, to.y + 11];
  const bend = (x1 + x2) / 2;
  const path = `M${x1} ${y1}C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}`;
  return svg("path", { d: path, class: from.best && to.best ? "edge best" : "edge" });
}

function box(node) {
  const shape = svg("rect", { width: node.width, height: 22, rx: 5 });
  shade(shape, node.probability);
  const text = svg("text", { x: node.width / 2, y: 15.5, "text-anchor": "middle" }, shownPiece(node));
  const title = svg("title", {}, `${percent(node.probability)} after the words before it`);
  const className = `node${node.best ? " best" : ""}${node.ends ? " ends" : ""}`;
  return svg("g", { transform: `translate(${node.x} ${node.y})`, class: className }, shape, text, title);
}

function finishedList(nodes, finished, penalty) {
  if (finished.length < 2) return [];
  const items = finished.map((node) => {
    const pieces = [];
    for (let at = node; at; at = at.parent === null ? null : nodes[at.parent]) if (!at.ends) pieces.unshift(at.piece);
    const text = joinBytes(pieces).map(({ text, afterSpace }) => (afterSpace ? " " : "") + text).join("").trim();
    const item = make("li", node.best ? "chosen" : "", "", make("bdi", "plain", text));
    item.append(make("span", "quiet", ` ${score(node, penalty).toFixed(2)}`));
    return item;
  });
  const heading = "Finished translations, with the log-probability that the search compares";
  return [make("p", "quiet", heading), make("ol", "finished", "", ...items)];
}
