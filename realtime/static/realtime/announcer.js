// The page's one polite live region: milestones are read out, not every step.

import { make } from "./dom.js";

const TOGETHER_MS = 500;

let region = null;
let waiting = [];

function show() {
  region.textContent = waiting.join(" ");
  waiting = [];
}

/** Make the region before there is something to say: one that comes with its text is not read out. */
export function prepare() {
  if (region !== null) return;
  region = make("div", "rt-announcer");
  region.setAttribute("role", "status");
  region.setAttribute("aria-live", "polite");
  document.body.append(region);
}

/** Have a sentence read out when the reader has time. Several in a row are read out together. */
export function announce(sentence) {
  prepare();
  if (waiting.length === 0) setTimeout(show, TOGETHER_MS);
  waiting.push(sentence);
}
