// The live dashboard: tasks move with their events; which there are, and the rest, is read every few seconds.

import { isFinal } from "./cells.js";
import { morph, read } from "./morph.js";
import { Panel } from "./panel.js";
import { Watch } from "./watch.js";

const panels = document.getElementById("rt-panels");
const { url, poll, shown } = panels.dataset;
/** Milliseconds between two readings when something has begun or ended. */
const SOON_MS = 1_000;
/** Milliseconds for an answer. */
const PATIENCE_MS = 10_000;
/** Tasks whose state is remembered, to know when something begins or ends. */
const MANY = 1_000;

const statuses = new Map(); // by id
const since = new Set(); // the tasks that have changed since the last reading began: it may not know of that
const gone = new Set(); // and those that were deleted
let lastRead = performance.now();
let reading = false;
let soon = false;

const watch = new Watch(apply, { own: { has: (id) => lists.some((list) => list.row(id)) }, state });
const lists = [
  new Panel(
    "running",
    {
      shows: (task) => task.status === "running",
      moment: (task) => task.created_at,
      words: (some, all) => `The newest ${some} of ${all} are shown.`,
    },
    Number(shown),
    watch,
  ),
  new Panel(
    "finished",
    { shows: isFinal, moment: (task) => task.finished_at, words: (some) => `The last ${some} are shown.` },
    Number(shown),
    watch,
  ),
];
setInterval(look, SOON_MS);

function state(now) {
  if (now === "live") soon = true;
}

function apply(ids) {
  for (const id of ids) {
    const task = watch.client.tasks.get(id);
    if (statuses.get(id) !== task?.status) soon = true; // what is counted on the page has changed
    if (statuses.size >= MANY) statuses.clear();
    if (task) statuses.set(id, task.status);
    else gone.add(id);
    if (since.size < MANY) since.add(id);
    show(id);
  }
}

function show(id) {
  const task = watch.client?.tasks.get(id);
  if (task && lists.some((list) => list.knowsBetter(task))) return;
  for (const list of lists) {
    if (task) list.place(task);
    else if (gone.has(id)) list.drop(id);
  }
}

/** Read the panels again when it is time: every few seconds, and soon after a task has begun or ended. */
async function look() {
  const age = performance.now() - lastRead;
  if (!watch.on || document.hidden || reading || watch.state === "denied") return;
  if (age < Number(poll) && !(soon && age >= SOON_MS)) return;
  reading = true;
  soon = false;
  since.clear();
  gone.clear();
  const page = await read(url, AbortSignal.timeout(PATIENCE_MS));
  const next = page?.getElementById("rt-panels");
  lastRead = performance.now();
  reading = false;
  if (!next || !watch.on) return;
  for (const list of lists) list.keep(next);
  for (const attribute of ["data-url", "data-poll"]) next.setAttribute(attribute, panels.getAttribute(attribute));
  morph(panels, next);
  for (const id of since) show(id);
  for (const list of lists) list.draw();
  watch.updated(Date.parse(next.dataset.at));
}
