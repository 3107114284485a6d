// Elements, and how weights look. Text reaches the page as text alone.
"use strict";

function make(tag, className = "", text = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...(text ? [text] : []), ...children);
  return element;
}

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function button(text, onClick, className = "") {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", onClick);
  return element;
}

/** A select of `options`, [value, text] each; `onChange` takes the value. */
function selectOf(options, chosen, onChange) {
  const select = make("select");
  select.append(...options.map(([value, text], place) => {
    const option = make("option", "", text);
    option.value = place;
    option.selected = value === chosen;
    return option;
  }));
  select.addEventListener("change", () => onChange(options[select.value][0]));
  return select;
}

// The square root makes small weights visible; the scale below the models shows it.
const shade = (element, weight) => element.style.setProperty("--weight", Math.sqrt(weight).toFixed(3));
const percent = (weight) => `${(100 * weight).toFixed(weight < 0.1 ? 1 : 0)}\u00a0%`;

/** Colour and marker of each system, as in every figure. */
const MARKERS = [
  (x, y, r) => svg("circle", { cx: x, cy: y, r }),
  (x, y, r) => svg("rect", { x: x - r * 0.9, y: y - r * 0.9, width: 1.8 * r, height: 1.8 * r }),
  (x, y, r) => polygon([[x, y - 1.25 * r], [x + 1.25 * r, y], [x, y + 1.25 * r], [x - 1.25 * r, y]]),
  (x, y, r) => polygon([[x, y - 1.2 * r], [x + 1.15 * r, y + 0.9 * r], [x - 1.15 * r, y + 0.9 * r]]),
  (x, y, r) => polygon([[x, y + 1.2 * r], [x + 1.15 * r, y - 0.9 * r], [x - 1.15 * r, y - 0.9 * r]]),
];
const polygon = (points) => svg("polygon", { points: points.map((point) => point.join(",")).join(" ") });
const marker = (number, x, y, r) => MARKERS[number % MARKERS.length](x, y, r);

function swatch(number) {
  const icon = svg("svg", { viewBox: "0 0 12 12", class: "swatch", "aria-hidden": "true" }, marker(number, 6, 6, 4.4));
  return icon;
}

/** The name of a language in English; its code where the browser knows none. */
function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  } catch {
    return code;
  }
}

const timeName = (milliseconds) => (
  milliseconds < 1000 ? `${Math.round(milliseconds)}\u00a0ms` : `${(milliseconds / 1000).toFixed(1)}\u00a0s`
);
