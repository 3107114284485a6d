// Tells the value of whatever is pointed at, tapped or reached with the keyboard; hides and shows systems.
"use strict";

(() => {
  const tip = document.querySelector(".tip");
  const GAP = 12;
  let pointedAt = null;

  const hide = () => {
    tip.hidden = true;
    pointedAt = null;
    document.querySelectorAll(".lit").forEach((element) => element.classList.remove("lit"));
  };

  // Above what it speaks of, or below where there is no room; never beyond the edges of the window.
  const place = () => {
    const box = pointedAt.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(box.left + box.width / 2 - width / 2, 4), innerWidth - width - 4);
    const above = box.top - height - GAP;
    const top = above >= 0 ? above : Math.min(box.bottom + GAP, innerHeight - height - 4);
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  };

  const show = (element) => {
    hide();
    tip.replaceChildren(...element.dataset.tip.split("\n").map((text) => {
      const line = document.createElement("div");
      line.dir = "auto";
      line.textContent = text;
      return line;
    }));
    tip.hidden = false;
    pointedAt = element;
    place();
    const bucket = element.closest("[data-bucket]")?.dataset.bucket;
    if (bucket === undefined) element.classList.add("lit");
    else document.querySelectorAll(`[data-bucket="${bucket}"]`).forEach((element) => element.classList.add("lit"));
  };

  const follow = (event) => {
    const element = event.target.closest?.("[data-tip]");
    if (element) show(element);
    else hide();
  };
  document.addEventListener("pointerover", follow);
  document.addEventListener("focusin", follow);
  document.addEventListener("click", follow);
  // To move the focus can scroll the page, which must not put out what it has just lit up.
  addEventListener("scroll", () => pointedAt && place(), { passive: true, capture: true });

  // Tab stops once at each group of values; the arrow keys move within it.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const group = event.target.closest?.("[data-walk]");
    if (!step || !group) return;
    const all = [...group.querySelectorAll("[data-tip]")];
    const next = all[all.indexOf(event.target) + step];
    event.preventDefault();
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const { system } = button.dataset;
      const shown = button.getAttribute("aria-pressed") === "false";
      document.querySelectorAll(`.legend [data-system="${system}"][aria-pressed]`)
        .forEach((button) => button.setAttribute("aria-pressed", String(shown)));
      document.querySelectorAll(`.series[data-system="${system}"]`)
        .forEach((element) => element.classList.toggle("off", !shown));
    });
  }

  // On paper nothing can be opened.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
})();
