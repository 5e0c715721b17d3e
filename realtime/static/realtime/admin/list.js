// The list of tasks, live: cells change in their place; a row is never put under the mouse.

import { stateOf, write, writeDuration, writeProgress, writeState, writeTime } from "./cells.js";
import { Watch } from "./watch.js";

/** New tasks that are counted; of more it is said that there are more. */
const MANY = 100;
/** Milliseconds between two readings of the counts, at least. */
const COUNTS_MS = 1_000;

const counts = document.getElementById("rt-counts");
const { chosen, newest } = counts.dataset;
const news = document.querySelector(".rt-news");
const rows = new Map();
const fresh = new Set();
const born = Date.parse(document.getElementById("rt-bar").dataset.at);
let counting = false;
let moved = false;

for (const badge of document.querySelectorAll("#result_list .rt-status[data-task]")) {
  rows.set(badge.dataset.task, badge.closest("tr"));
}
const unfinished = [...rows].filter(([, row]) => !row.querySelector("[data-to]")).map(([id]) => id);
const watch = new Watch(apply, { hold, taskIds: unfinished, state });

/** Whoever is about to act on what he sees must find it where he saw it. */
function hold() {
  if (document.querySelector("#result_list input.action-select:checked")) return "tasks are chosen";
  const active = document.activeElement;
  if (active?.matches("#changelist input:not([type=checkbox]), #changelist select, #changelist textarea")) {
    return "you are in a field";
  }
  return getSelection()?.toString() ? "text is selected" : "";
}

function apply(ids) {
  for (const id of ids) {
    const task = watch.client.tasks.get(id);
    const row = rows.get(id);
    if (row) patch(row, task);
    else if (task) note(id, task);
    else fresh.delete(id);
  }
  tellNews();
  recount();
}

function state(now) {
  if (now === "live") recount();
}

function patch(row, task) {
  const badge = row.querySelector(".rt-status");
  if (!task) {
    // It is kept where it was: the rows below would move under the mouse.
    if (row.dataset.gone) return;
    row.dataset.gone = "yes";
    writeState(badge, "gone");
    const box = row.querySelector("input.action-select");
    if (box) box.disabled = true;
    return;
  }
  writeState(badge, stateOf(task));
  writeProgress(row.querySelector(".rt-progress"), task);
  writeTime(row.querySelector(".field-started"), task.started_at, watch.zone);
  writeDuration(row.querySelector(".rt-duration"), task, watch.now());
  if (task.name !== undefined) write(row.querySelector(".field-name a, .field-name"), task.name);
}

/** A task that a reload would bring on top. */
function note(id, task) {
  const isNew = chosen ? Date.parse(task.updated_at) > born : Date.parse(task.created_at) > born;
  if (isNew && (!chosen || task.status === chosen)) {
    if (fresh.size <= MANY) fresh.add(id);
  } else fresh.delete(id);
}

function tellNews() {
  if (!newest) return;
  const count = fresh.size > MANY ? `More than ${MANY}` : String(fresh.size);
  const text = `${count} new task${fresh.size === 1 ? "" : "s"} — show`;
  if (news.hidden && fresh.size) watch.say("There are new tasks.");
  news.hidden = fresh.size === 0;
  news.href = location.href;
  write(news, text);
}

/** The counts are the server's: of a task that moved it is not known here what it was before. */
async function recount() {
  moved = true;
  if (counting) return;
  counting = true;
  while (moved) {
    moved = false;
    try {
      const response = await fetch(counts.dataset.url, { headers: { Accept: "application/json" } });
      if (response.ok && !response.redirected) show(await response.json());
    } catch {
      // The connection's state says so.
    }
    await new Promise((rested) => setTimeout(rested, COUNTS_MS));
  }
  counting = false;
}

function show(found) {
  for (const place of counts.querySelectorAll("[data-count]")) write(place, found[place.dataset.count]);
}
