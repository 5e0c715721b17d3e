// Words and numbers of the page: statuses, times, durations, results.

export const STATUS_WORDS = {
  pending: "Waiting",
  running: "Running",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const LEVEL_WORDS = {
  info: "Information",
  success: "Success",
  warning: "Warning",
  critical: "Critical",
};

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const number = new Intl.NumberFormat(undefined);

/** A moment, with its day unless that is today. */
export function clockTime(milliseconds) {
  const moment = new Date(milliseconds);
  const today = moment.toDateString() === new Date().toDateString();
  return (today ? time : dayAndTime).format(moment);
}

/** A length of time in its two largest units: “1 min 5 s”. */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}

/** How far a task is: “1,204 of 2,450 · 49 %”; nothing before it starts. */
export function numbers(task, percent) {
  if (!task.started_at) return "";
  const counted = task.total ? `${number.format(task.done ?? 0)} of ${number.format(task.total)} · ` : "";
  return `${counted}${percent} %`;
}

/** A task's result in one line; an object as “name value” pairs. */
export function resultText({ result, truncated = [] }) {
  if (truncated.includes("result")) return "The result is too large to show here.";
  if (result === null || result === undefined) return "";
  if (typeof result !== "object" || Array.isArray(result)) return valueText(result);
  return Object.entries(result)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${valueText(value)}`)
    .join(" · ");
}

function valueText(value) {
  if (typeof value === "number") return number.format(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}
