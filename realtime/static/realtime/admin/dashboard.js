// The live dashboard: tasks move with their events; the rest is read again every few seconds.

import { isFinal, stateOf, write, writeDuration, writeProgress, writeState, writeTime } from "./cells.js";
import { morph, read } from "./morph.js";
import { Watch } from "./watch.js";

const panels = document.getElementById("rt-panels");
const { url, poll, taskUrl, shown } = panels.dataset;
const SHOWN = Number(shown);
/** Milliseconds between two readings when something has begun or ended. */
const SOON_MS = 1_000;

/** The tasks of each list by id; bounded, while the site may have any number. */
const lists = { running: new Map(), finished: new Map() };
let known = false; // the lists are the connection's, no longer the server's
let lastRead = performance.now();
let reading = false;
let soon = false;

const watch = new Watch(apply, { state });
setInterval(look, SOON_MS);

function state(now) {
  known = now === "live" || (known && now !== "denied");
  if (now === "live") soon = true;
}

function apply(ids) {
  for (const id of ids) place(id, watch.client.tasks.get(id));
  draw("running", (task) => task.created_at);
  draw("finished", (task) => task.finished_at);
}

function place(id, task) {
  const ended = task && isFinal(task);
  const runs = task?.status === "running";
  // What is counted on the page has changed: it began, ended, came or went.
  if (runs ? !lists.running.has(id) : !ended || !lists.finished.has(id)) soon = true;
  if (runs) lists.running.set(id, task);
  else lists.running.delete(id);
  if (ended) lists.finished.set(id, task);
  else lists.finished.delete(id);
}

/** Show the newest of a list; rows that stay are filled, not made anew. */
function draw(name, moment) {
  const newest = [...lists[name].values()].sort((a, b) => (moment(a) < moment(b) ? 1 : -1)).slice(0, SHOWN);
  lists[name] = new Map(newest.map((task) => [task.task_id, task]));
  if (!known) return;
  const section = document.getElementById(`rt-${name}`);
  const body = section.querySelector("tbody");
  let next = body.firstElementChild;
  for (const task of newest) {
    const row = document.getElementById(`${name}-${task.task_id}`) ?? makeRow(name, task);
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
    fill(row, task, name);
  }
  while (next) {
    const gone = next;
    next = next.nextElementSibling;
    gone.remove();
  }
  section.querySelector("table").hidden = newest.length === 0;
  section.querySelector(".rt-empty").hidden = newest.length > 0;
}

function makeRow(name, task) {
  const row = document.getElementById("rt-row").content.cloneNode(true).firstElementChild;
  row.id = `${name}-${task.task_id}`;
  row.querySelector("a").href = taskUrl.replace(/[0-9a-f-]{36}/, task.task_id);
  row.querySelector("progress").setAttribute("aria-label", `Progress of ${task.name ?? "a task"}`);
  return row;
}

function fill(row, task, name) {
  if (task.name !== undefined) write(row.querySelector("a"), task.name.slice(0, 80));
  writeState(row.querySelector(".rt-status"), stateOf(task));
  writeProgress(row.querySelector(".rt-progress"), task);
  writeTime(row.querySelector("td > time"), name === "running" ? task.started_at : task.finished_at, watch.zone);
  writeDuration(row.querySelector(".rt-duration"), task, watch.now());
}

/** Read the panels again when it is time: every few seconds, and soon after a task has begun or ended. */
async function look() {
  const age = performance.now() - lastRead;
  if (!watch.on || document.hidden || reading || watch.state === "denied") return;
  if (age < Number(poll) && !(soon && age >= SOON_MS)) return;
  reading = true;
  soon = false;
  const page = await read(url, AbortSignal.timeout(10_000));
  const next = page?.getElementById("rt-panels");
  lastRead = performance.now();
  reading = false;
  if (!next || !watch.on) return;
  for (const name of Object.keys(lists)) {
    // Of what the connection brings, the answer may be older.
    if (known) next.querySelector(`#rt-${name}`).replaceWith(document.getElementById(`rt-${name}`).cloneNode(true));
  }
  const at = Date.parse(next.dataset.at);
  for (const attribute of ["data-url", "data-poll"]) next.setAttribute(attribute, panels.getAttribute(attribute));
  morph(panels, next);
  watch.updated(at);
}
