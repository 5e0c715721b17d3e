// The page of a broadcast: whom it has reached so far, and whether it is still there, read again and again.

import { morph, read } from "./morph.js";
import { Watch } from "./watch.js";

const place = document.getElementById("broadcast-progress");
const { url, broadcast } = place.dataset;
/** Milliseconds between two looks at whether it is time, and after which an answer is not waited for any more. */
const LOOK_MS = 250;
const PATIENCE_MS = 10_000;

let readAt = performance.now();
let reading = false;
let soon = false;

// Who is in the audience hears of the sending and of the retraction at once.
const watch = new Watch(() => {}, { topics: [], frame });
setInterval(look, LOOK_MS);

function frame({ type, broadcast_id: id }) {
  if (type.startsWith("broadcast") && id === broadcast) soon = true;
}

async function look() {
  const now = document.getElementById("broadcast-now");
  if (!watch.on || document.hidden || reading) return;
  if (!soon && performance.now() - readAt < Number(now.dataset.poll)) return;
  [reading, soon] = [true, false];
  const page = await read(url, AbortSignal.timeout(PATIENCE_MS));
  [reading, readAt] = [false, performance.now()];
  const next = page?.getElementById("broadcast-now");
  if (!next || !watch.on) return; // its age tells how old it is
  if (next.dataset.state !== now.dataset.state) watch.say(`The broadcast is ${next.dataset.state}.`);
  morph(now, next);
  const retract = document.getElementById("broadcast-retract");
  if (retract) retract.hidden = next.dataset.retractable === "";
  watch.updated(Date.parse(next.dataset.at));
}
