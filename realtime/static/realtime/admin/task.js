// The page of a task, live: what it is doing, its log, and a warning when the form has become stale.

import { isFinal, stateOf, write, writeDuration, writePace, writeProgress, writeState } from "./cells.js";
import { Log } from "./log.js";
import { morph, read } from "./morph.js";
import { Watch } from "./watch.js";

/** Pieces of the page that are the server's to write: rights decide what is in them. */
const PIECES = ["ul.object-tools", "#rt-timeline", "#task-events", ".readonly"];

const now = document.getElementById("rt-now");
const stale = document.getElementById("rt-stale");
const { task: id, name, owner } = now.dataset;
let status = now.querySelector(".rt-status").dataset.status;
let version = Number(now.dataset.version);
let reading = null;
/** Milliseconds between two looks at how fast it is, and after which an answer is not waited for any more. */
const LOOK_MS = 1_000;
const PATIENCE_MS = 10_000;

const watch = new Watch(apply, { taskIds: [id], frame, state });
const log = new Log(watch.zone);
setInterval(look, LOOK_MS);

/** Its pace changes with the clock too; of what may be old it would be a guess. */
function look() {
  const place = now.querySelector(".rt-speed");
  const task = watch.live ? watch.client.tasks.get(id) : undefined;
  if (task) writePace(place, task, watch.now());
  else write(place, "");
}

function state(now) {
  if (now === "live") log.catchUp();
}

function frame({ type, task_id: of, data, timestamp }) {
  if (type !== "task_log" || of !== id || !watch.on) return;
  log.take(data, timestamp);
  watch.updated();
}

function apply(ids) {
  if (!ids.has(id)) return;
  const task = watch.client.tasks.get(id);
  if (!task) return warn("The task has been deleted.");
  if (task.version < version) return;
  const moved = task.version > version;
  version = task.version;
  writeState(now.querySelector(".rt-status"), stateOf(task));
  writeProgress(now.querySelector(".rt-progress"), task);
  writeDuration(now.querySelector(".rt-duration"), task, watch.now());
  if (task.message !== undefined) write(now.querySelector(".rt-message"), task.message.slice(0, 500));
  look();
  if (moved) compare(task);
  if (stateOf(task) === status) return;
  status = stateOf(task);
  watch.say(`The task is ${status}.`);
  refresh(isFinal(task));
}

/** What the form would overwrite is no longer what it shows. */
function compare(task) {
  const changed = [];
  if (task.name !== undefined && task.name !== name) changed.push("name");
  if ((task.owner ?? "") !== owner) changed.push("owner");
  if (changed.length) warn(`Somebody has changed the ${changed.join(" and the ")} of this task.`);
}

function warn(text) {
  write(stale.querySelector("span"), text);
  stale.hidden = false;
}

/** Read again what the server wrote around the form: times, result, buttons, timeline. The form is left alone. */
async function refresh(ended) {
  reading?.abort();
  reading = new AbortController();
  const signal = AbortSignal.any([reading.signal, AbortSignal.timeout(PATIENCE_MS)]);
  const page = await read(location.href, signal);
  if (!page) return;
  for (const selector of PIECES) {
    const next = page.querySelectorAll(selector);
    document.querySelectorAll(selector).forEach((piece, index) => next[index] && morph(piece, next[index]));
  }
  if (ended) log.catchUp();
}
