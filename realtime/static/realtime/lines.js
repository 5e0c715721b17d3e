// The log lines of the tasks that are watched: each once, in the order of their numbers.

/** So many lines of one task are kept, the last ones. */
const LIMIT = 5_000;

export class Lines {
  /** The lines by task id: arrays of {number, level, text, …}, the lowest number first. */
  byTask = new Map();

  /** Take a line; tell whether it is new. */
  add(id, line) {
    if (!this.byTask.has(id)) this.byTask.set(id, []);
    const lines = this.byTask.get(id);
    let place = lines.length;
    while (place > 0 && lines[place - 1].number > line.number) place -= 1;
    if (place > 0 && lines[place - 1].number === line.number) return false;
    if (place === 0 && lines.length >= LIMIT) return false;
    lines.splice(place, 0, line);
    if (lines.length > LIMIT) lines.shift();
    return true;
  }

  /** The number of the last line of a task; null when there is none. */
  last(id) {
    return this.byTask.get(id)?.at(-1)?.number ?? null;
  }
}
