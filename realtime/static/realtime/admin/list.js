// The list of tasks, live: cells change in their place; a row is never put under the mouse.

import { stateOf, write, writeDuration, writeProgress, writeState, writeTime } from "./cells.js";
import { Watch } from "./watch.js";

/** New tasks whose number is said; of more it is said that there are more. */
const MANY = 100;
/** New tasks that are remembered, to know which of them have gone. */
const REMEMBERED = 1_000;
/** Milliseconds between two readings of the counts, at least; and after one that failed. */
const COUNTS_MS = 1_000;
const AGAIN_MS = 5_000;
/** Milliseconds for an answer, and between two looks at whether rows may move. */
const PATIENCE_MS = 10_000;
const LOOK_MS = 250;
/** Rows asked for at a time. */
const TOGETHER = 50;
/** What may still become something else. */
const MOVING = new Set(["pending", "running", "cancelling"]);

const counts = document.getElementById("rt-counts");
const { chosen, newest } = counts.dataset;
const news = document.querySelector(".rt-news");
const rows = new Map();
const fresh = new Set();
const born = Date.parse(document.getElementById("rt-bar").dataset.at);
let counting = false;
let moved = false;
let uncounted = false; // there were more new tasks than are remembered

for (const badge of document.querySelectorAll("#result_list .rt-status[data-task]")) {
  rows.set(badge.dataset.task, badge.closest("tr"));
}
// Not by their ids: a few pages of fifty would be more than one connection may be subscribed to.
const own = { has: (id) => rows.has(id) || fresh.has(id) };
const watch = new Watch(apply, { hold, own, state });

/** Whoever is about to act on what he sees must find it where he saw it. */
function hold() {
  if (document.querySelector("#result_list input.action-select:checked")) return "tasks are chosen";
  const active = document.activeElement;
  if (active?.matches("#changelist input:not([type=checkbox]), #changelist select, #changelist textarea")) {
    return "you are in a field";
  }
  return getSelection()?.toString() ? "text is selected" : "";
}

function apply(ids, missed) {
  if (missed) catchUp();
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

/** Ask for the rows that may have moved unheard: before the page was live, or with more than it could remember. */
async function catchUp() {
  const unheard = (id) => watch.client !== null && !watch.client.tasks.has(id);
  const moving = [...rows].filter(([, row]) => MOVING.has(row.querySelector(".rt-status").dataset.status));
  const ids = moving.map(([id]) => id).filter(unheard);
  for (let start = 0; start < ids.length; start += TOGETHER) {
    const some = ids.slice(start, start + TOGETHER);
    const found = await fetchJson(`${counts.dataset.rows}?${some.map((id) => `id=${id}`).join("&")}`);
    if (found === null) return; // the next time that it is live
    while (hold()) await rest(LOOK_MS);
    for (const id of some.filter(unheard)) patch(rows.get(id), found[id]);
  }
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
    if (fresh.size < REMEMBERED) fresh.add(id);
    else uncounted ||= !fresh.has(id);
  } else fresh.delete(id);
}

function tellNews() {
  if (!newest) return;
  const count = uncounted || fresh.size > MANY ? `More than ${MANY}` : String(fresh.size);
  const text = `${count} new task${fresh.size === 1 ? "" : "s"} — show`;
  if (news.hidden && fresh.size) watch.say("There are new tasks.");
  news.hidden = fresh.size === 0;
  write(news, text);
}

/** The counts are the server's: of a task that moved it is not known here what it was before. */
async function recount() {
  moved = true;
  if (counting) return;
  counting = true;
  while (moved) {
    moved = false;
    const found = await fetchJson(counts.dataset.url);
    if (found) show(found);
    else moved ||= watch.live; // else the connection's state says why, and it is read when it is back
    await rest(found ? COUNTS_MS : AGAIN_MS);
  }
  counting = false;
}

/** Resolves to what the server answers, or null. */
async function fetchJson(url) {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(url, { headers: { Accept: "application/json" }, signal });
    return response.ok && !response.redirected ? await response.json() : null;
  } catch {
    return null;
  }
}

function rest(milliseconds) {
  return new Promise((rested) => setTimeout(rested, milliseconds));
}

function show(found) {
  for (const place of counts.querySelectorAll("[data-count]")) write(place, found[place.dataset.count]);
}
