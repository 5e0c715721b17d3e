// The words and icons of the elements. Every state has both, so that none is told by its colour alone.
// An icon is named as its symbol in icons.svg.

import { remaining, throughput } from "./pace.js";

export const STATUS = {
  waiting: ["Waiting", "waiting"],
  running: ["Running", "running"],
  cancelling: ["Cancelling…", "cancelling"],
  cancelled: ["Cancelled", "cancelled"],
  done: ["Completed", "done"],
  failed: ["Failed", "failed"],
  stale: ["No news", "stale"],
  denied: ["Not available", "denied"],
};

export const CONNECTION = {
  connecting: ["Connecting…", "connecting"],
  live: ["Live", "live"],
  "catching-up": ["Catching up…", "catching-up"],
  reconnecting: ["Reconnecting…", "reconnecting"],
  offline: ["Offline", "offline"],
  paused: ["Paused", "paused"],
  denied: ["Disconnected", "denied"],
};

export const LEVEL = {
  info: ["Information", "info"],
  success: ["Success", "success"],
  warning: ["Warning", "warning"],
  critical: ["Critical", "critical"],
};

/** What people are told instead of the server's words, which are for those who make pages, by the error's code. */
const PROBLEM = {
  not_authenticated: "You are logged out.",
  revoked: "You are logged out.",
  invalid_token: "Your login has ended.",
  token_expired: "Your login has ended.",
  invalid_ticket: "Your login has ended.",
  user_inactive: "Your account is closed.",
  rights_changed: "Your rights have changed.",
  csrf_failed: "This page is too old: reload it.",
  too_many_bad_messages: "This page is too old: reload it.",
  message_too_big: "This page is too old: reload it.",
  not_found: "This task is no longer here.",
  too_many_messages: "Too much was asked at once.",
  throttled: "Too much was asked at once: wait a moment.",
  slow_consumer: "The line is too slow.",
  restarting: "The site restarts.",
  unavailable: "The site cannot read its data just now.",
};

/** What went wrong, for people: by its code, else in the server's own words. */
export function problemText({ code, message }) {
  return PROBLEM[code] ?? message ?? "";
}

export const number = new Intl.NumberFormat(document.documentElement.lang || undefined);
const rateNumber = new Intl.NumberFormat(document.documentElement.lang || undefined, { maximumSignificantDigits: 2 });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A moment in the reader's own zone, with its day unless that is today. */
export function clock(milliseconds) {
  const moment = new Date(milliseconds);
  return (moment.toDateString() === new Date().toDateString() ? time : dayAndTime).format(moment);
}

/** A length of time in its two largest units: “1 min 5 s”. */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}

/** What a task looks like: a key of `STATUS`. It is stale after so many milliseconds without a report. */
export function taskState(task, now, staleAfter = Infinity) {
  const { status } = task;
  if (status === "pending") return "waiting";
  if (status === "completed") return "done";
  if (status !== "running") return status;
  if (task.cancel_requested_at) return "cancelling";
  return now - Date.parse(task.updated_at) > staleAfter ? "stale" : "running";
}

/** Whole percent; 100 only at the end, for a full bar promises one. Null when nobody knows how far it is. */
export function percent(task) {
  if (task.status === "completed") return 100;
  const known = task.total || task.progress;
  if (!known) return task.status === "running" ? null : 0;
  const progress = task.progress ?? (100 * (task.done ?? 0)) / task.total;
  return Math.min(99, Math.max(0, Math.floor(progress)));
}

/** How far it is, in words: “1,204 of 2,450 · 49 %”. */
export function progressText(task, shown) {
  const counted = task.total ? `${number.format(task.done ?? 0)} of ${number.format(task.total)}` : "";
  const uncounted = !task.total && task.done && !task.finished_at ? `${number.format(task.done)} so far` : "";
  const part = shown === null || task.status === "pending" ? "" : `${shown} %`;
  return [counted || uncounted, part].filter(Boolean).join(" · ");
}

/** How long it may still take, if anybody can know: “about 2 min left”; else how fast it counts: “5.2 per s”. */
export function paceText(task, state, now) {
  if (state !== "running") return "";
  const left = remaining(task, now);
  if (left !== null) return leftText(left / 1000);
  const rate = throughput(task, now);
  if (!rate) return "";
  const [size, unit] = [[1, "s"], [60, "min"], [3600, "h"]].find(([size]) => rate * size >= 1) ?? [86_400, "day"];
  return `${rateNumber.format(rate * size)} per ${unit}`;
}

/** Roughly: it is an estimate, and must not jump with every second. */
function leftText(seconds) {
  if (seconds < 10) return "a few seconds left";
  if (seconds < 55) return `about ${5 * Math.round(seconds / 5)} s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${Math.max(1, minutes)} min left`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `about ${hours} h left` : `about ${number.format(Math.round(hours / 24))} days left`;
}

/** What it is doing, or what became of it. */
export function messageText(task) {
  if (task.error) return task.error;
  if (["completed", "failed", "cancelled"].includes(task.status)) return "";
  return [task.phase, task.message].filter(Boolean).join(": ");
}

/** When it began and how long it takes: “Started 10:31:05 · 12 s so far”. */
export function factsText({ created_at: created, started_at: start, finished_at: end }, now) {
  if (!start) return `Created ${clock(Date.parse(created))}`;
  const length = duration((end ? Date.parse(end) : now) - Date.parse(start));
  return `Started ${clock(Date.parse(start))} · ${end ? `took ${length}` : `${length} so far`}`;
}
