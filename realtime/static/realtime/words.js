// The words and icons of the elements. Every state has both, so that none is told by its colour alone.

export const STATUS = {
  waiting: ["Waiting", "○"],
  running: ["Running", "▶"],
  cancelling: ["Cancelling", "◌"],
  cancelled: ["Cancelled", "⊘"],
  done: ["Completed", "✓"],
  failed: ["Failed", "✕"],
  stale: ["No news", "?"],
  denied: ["Not available", "⊘"],
};

export const CONNECTION = {
  connecting: ["Connecting…", "…"],
  live: ["Live", "●"],
  "catching-up": ["Catching up…", "◐"],
  reconnecting: ["Reconnecting…", "○"],
  offline: ["Offline", "⚠"],
  paused: ["Paused", "‖"],
  denied: ["Disconnected", "✕"],
};

export const LEVEL = {
  info: ["Information", "ℹ"],
  success: ["Success", "✓"],
  warning: ["Warning", "⚠"],
  critical: ["Critical", "‼"],
};

const number = new Intl.NumberFormat(document.documentElement.lang || undefined);

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
  const uncounted = !task.total && task.done ? `${number.format(task.done)} so far` : "";
  const part = shown === null || task.status === "pending" ? "" : `${shown} %`;
  return [counted || uncounted, part].filter(Boolean).join(" · ");
}

/** What it is doing, or what became of it. */
export function messageText(task) {
  if (task.error) return task.error;
  if (["completed", "failed", "cancelled"].includes(task.status)) return "";
  return [task.phase, task.message].filter(Boolean).join(": ");
}
