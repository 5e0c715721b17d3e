// A task's cells: its status, its bar, its pace and its times, as the server wrote them (`display.py`), kept up to
// date.

import { remaining, throughput } from "../pace.js";

const FINAL = new Set(["completed", "failed", "cancelled"]);
const number = new Intl.NumberFormat("en");

export const isFinal = (task) => FINAL.has(task.status);

/** The status, or `cancelling` where the worker has been asked to stop. */
export function stateOf(task) {
  return task.status === "running" && task.cancel_requested_at ? "cancelling" : task.status;
}

/** A length of time in its two largest units: “1 min 5 s”; a number and its unit stand on one line. */
export function length(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days}\u00a0d ${hours % 24}\u00a0h`;
  if (hours > 0) return `${hours}\u00a0h ${minutes % 60}\u00a0min`;
  return minutes > 0 ? `${minutes}\u00a0min ${seconds % 60}\u00a0s` : `${seconds}\u00a0s`;
}

/** A length of time without the seconds, once it has minutes: “5 min”. */
export function rough(milliseconds) {
  const minutes = Math.floor(Math.max(0, Math.round(milliseconds / 1000)) / 60);
  return minutes > 0 && minutes < 60 ? `${minutes}\u00a0min` : length(milliseconds);
}

/** Change text only where it differs: a screen reader, a selection and the layout are left alone. */
export function write(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

export function writeState(badge, key) {
  if (!badge || badge.dataset.status === key) return;
  badge.dataset.status = key;
  const use = badge.querySelector("use");
  use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${key}`);
  write(badge.querySelector(".rt-word"), key[0].toUpperCase() + key.slice(1));
}

/** A bar never goes back, and is full at the end only. */
export function writeProgress(cell, task) {
  if (!cell) return;
  const bar = cell.querySelector("progress");
  const started = Number(bar.dataset.top ?? bar.getAttribute("value") ?? 0);
  const unknown = task.status === "running" && !task.progress && !task.total && !started;
  const percent = task.status === "completed" ? 100 : Math.max(started, Math.min(task.progress ?? 0, 99));
  bar.dataset.top = percent;
  if (unknown) bar.removeAttribute("value");
  else bar.value = percent;
  cell.dataset.status = stateOf(task);
  write(cell.querySelector(".rt-text"), progressText(task, unknown ? null : percent));
  hear(cell.querySelector(".rt-silence"), task);
}

/** It has just been heard of; `tickAll` tells when that is long ago. */
function hear(place, task) {
  const since = stateOf(task) === "running" ? task.updated_at : undefined;
  if (!place || place.dataset.since === since) return;
  if (since) place.dataset.since = since;
  else delete place.dataset.since;
  write(place, "");
}

/** How fast it is and how long yet: “5.2 per s · about 2 min left”; nothing of what nobody knows. */
export function writePace(place, task, now) {
  const runs = stateOf(task) === "running";
  const silent = runs && now - Date.parse(task.updated_at) > Number(place.dataset.after) * 1000;
  const [rate, left] = [throughput(task, now), runs ? remaining(task, now) : null];
  const parts = [rate ? rateText(rate) : "", left === null ? "" : `about ${rough(left)} left`];
  write(place, silent ? "" : parts.filter(Boolean).join(" · "));
}

function rateText(perSecond) {
  const units = [[1, "s"], [60, "min"], [3600, "h"]];
  const [seconds, unit] = units.find(([seconds]) => perSecond * seconds >= 1) ?? units.at(-1);
  const rate = perSecond * seconds;
  return `${rate >= 10 ? number.format(Math.round(rate)) : rate.toFixed(1)} per ${unit}`;
}

function progressText(task, percent) {
  let count = "";
  if (task.total !== null && task.total !== undefined) {
    count = `${number.format(task.done ?? 0)} of ${number.format(task.total)}`;
  } else if (task.done) {
    count = number.format(task.done);
  }
  const parts = [percent === null ? "" : `${percent} %`, count, task.phase];
  return parts.filter(Boolean).join(" · ") || "working";
}

/** Write a moment in the zone of the page, which is the site's. */
export function writeTime(place, moment, zone) {
  const time = place?.matches("time") ? place : place?.querySelector("time");
  if (!place || !moment || time?.dateTime === moment) return;
  const shown = time ?? document.createElement("time");
  shown.className = "rt-time";
  shown.dateTime = moment;
  write(shown, stamp(moment, zone));
  if (!time) place.replaceChildren(shown);
}

export function stamp(moment, zone) {
  const format = { dateStyle: "short", timeStyle: "medium", timeZone: zone };
  return new Intl.DateTimeFormat("sv", format).format(new Date(moment)); // 2026-11-21 08:46:24
}

export function writeDuration(place, task, now) {
  if (!place || !task.started_at) return;
  place.dataset.from = task.started_at;
  if (task.finished_at) place.dataset.to = task.finished_at;
  tick(place, now);
}

/** Let the durations below `root` go on, and the silences. */
export function tickAll(root, now) {
  for (const place of root.querySelectorAll(".rt-duration[data-from]:not([data-to])")) tick(place, now);
  for (const place of root.querySelectorAll(".rt-silence[data-since]")) {
    const silent = now - Date.parse(place.dataset.since);
    write(place, silent > Number(place.dataset.after) * 1000 ? `No news for ${rough(silent)}` : "");
  }
}

function tick(place, now) {
  const end = place.dataset.to ? Date.parse(place.dataset.to) : now;
  write(place, length(end - Date.parse(place.dataset.from)));
}
