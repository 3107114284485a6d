// Greedy and beam search, as in decoding/search.py, for one sentence.
//
// Both are generators: they yield the nodes of each step, so a page can draw them, and stop between steps, and they
// return hypotheses. A node is { token, logProbability, total, parent, maps }; the tree of a beam is its nodes.
"use strict";

const PAD = 0, BOS = 2, EOS = 3;
const ROOT = { token: BOS, logProbability: 0, total: 0, parent: null, maps: null, length: 0 };

function grow(parent, token, logProbability, total, maps) {
  return { token, logProbability, total, parent, maps, length: parent.length + 1 };
}

/** The nodes from the first token to `node`. */
function pathTo(node) {
  const nodes = [];
  for (let at = node; at.parent; at = at.parent) nodes.push(at);
  return nodes.reverse();
}

/** What a search returns: { tokens, logProbability, score, finished, nodes }; only `nodes` include EOS. */
function hypothesis(node, score) {
  const nodes = pathTo(node), finished = node.token === EOS;
  const tokens = nodes.map(({ token }) => token).slice(0, finished ? -1 : undefined);
  return { tokens, logProbability: node.total, score, finished, nodes };
}

/** Log-probabilities of the next token for a row of logits; −∞ for PAD and BOS. */
function nextLogProbabilities(logits) {
  logits[PAD] = logits[BOS] = -Infinity;
  let most = -Infinity, sum = 0;
  for (let token = 0; token < logits.length; token++) most = Math.max(most, logits[token]);
  for (let token = 0; token < logits.length; token++) sum += Math.exp(logits[token] - most);
  const normaliser = most + Math.log(sum);
  return logits.map((logit) => logit - normaliser);
}

function* greedySearch(model, memory, maxLength, control) {
  let state = model.start(memory), node = ROOT;
  while (node.token !== EOS && node.length < maxLength) {
    const next = model.advance([node.token], state, memory, control);
    const logProbabilities = nextLogProbabilities(next.logits.row(0));
    const [{ value, index: token }] = largest([logProbabilities], 1);
    node = grow(node, token, value, node.total + value, next.maps[0]);
    state = next.state;
    yield [node];
  }
  return [hypothesis(node, node.total)];
}

/** The `count` largest of `rows`, arrays of numbers: { value, row, index }, largest first, of equals the first. */
function largest(rows, count) {
  const found = [];
  rows.forEach((values, row) => {
    for (let index = 0; index < values.length; index++) {
      const value = values[index];
      if (found.length === count && !(value > found[count - 1].value)) continue;
      let place = found.length;
      while (place > 0 && found[place - 1].value < value) place--;
      found.splice(place, 0, { value, row, index });
      if (found.length > count) found.pop();
    }
  });
  return found;
}

function* beamSearch(model, memory, maxLength, { beamSize, lengthPenalty, nBest = 1 }, control) {
  const size = Math.max(beamSize, nBest);
  const score = (total, length) => total / length ** lengthPenalty;
  const found = [];
  let state = model.start(memory), running = [ROOT];
  while (running.length) {
    const next = model.advance(running.map(({ token }) => token), state, memory, control);
    const logProbabilities = running.map((_, row) => nextLogProbabilities(next.logits.row(row)));
    const totals = logProbabilities.map((values, row) => values.map((value) => running[row].total + value));
    // At most half of the candidates end (one for each origin), so enough of them continue.
    const candidates = largest(totals, 2 * size).filter(({ value }) => value > -Infinity);
    const nodes = candidates.map(({ value, row, index }) => (
      grow(running[row], index, logProbabilities[row][index], value, next.maps[row])
    ));
    const ended = nodes.slice(0, size).filter(({ token }) => token === EOS);
    found.push(...ended.map((node) => hypothesis(node, score(node.total, node.length))));
    const kept = nodes.map((_, place) => place).filter((place) => nodes[place].token !== EOS).slice(0, size);
    running = kept.map((place) => nodes[place]);
    state = next.state.select(kept.map((place) => candidates[place].row));
    yield [...running, ...ended];
    if (running.length && running[0].length >= maxLength) {
      found.push(...running.map((node) => hypothesis(node, score(node.total, node.length))));
      running = [];
    } else if (running.length && found.length >= size) {
      const worst = found.map((hypothesis) => hypothesis.score).sort((left, right) => right - left)[nBest - 1];
      if (score(running[0].total, running[0].length) <= worst) running = [];
    }
  }
  return found.sort((left, right) => right.score - left.score).slice(0, nBest);
}

/** The nodes of `tokens`, written by force: their log-probabilities and weights. */
function* force(model, memory, tokens, control) {
  let state = model.start(memory), node = ROOT;
  for (const token of tokens) {
    const next = model.advance([node.token], state, memory, control);
    const value = nextLogProbabilities(next.logits.row(0))[token];
    node = grow(node, token, value, node.total + value, next.maps[0]);
    state = next.state;
    yield [node];
  }
  return [hypothesis(node, node.total)];
}

/** What a generator returns, run to its end. */
function finish(generator) {
  for (;;) {
    const { value, done } = generator.next();
    if (done) return value;
  }
}
