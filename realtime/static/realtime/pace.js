// How fast a task is and how long it may still take, as pace.py has it: the rate is that of the whole run.

/** How much of the work is done, above 0 and at most 1; null when nobody knows. */
function share({ total, done, progress }) {
  if (total && done) return done <= total ? done / total : null;
  return progress > 0 ? progress / 100 : null;
}

function elapsed({ started_at: start, finished_at: end }, now) {
  return start ? Math.max(0, (end ? Date.parse(end) : now) - Date.parse(start)) : 0;
}

/** Milliseconds until the end, should a running task go on as until now; null when nobody can know. */
export function remaining(task, now) {
  const [passed, part] = [elapsed(task, now), share(task)];
  if (task.status !== "running" || part === null || passed === 0) return null;
  return (passed * (1 - part)) / part;
}

/** Things per second; null when nothing is counted, or no time has passed. */
export function throughput(task, now) {
  const passed = elapsed(task, now);
  return (task.done > 0 || task.total) && passed ? (1000 * (task.done ?? 0)) / passed : null;
}
