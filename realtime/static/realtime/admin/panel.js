// A list of tasks on the dashboard. Which tasks are in it is the server's to say, every few seconds; between two
// answers events fill the rows, and add and remove them.

import { stateOf, write, writeDuration, writeProgress, writeState, writeTime } from "./cells.js";

const number = new Intl.NumberFormat("en");

export class Panel {
  #name;
  #shows;
  #moment;
  #words;
  #most;
  #watch;

  /**
   * @param {string} name of its section and its rows: `rt-<name>`, `<name>-<id>`
   * @param {object} about `shows(task)` whether a task belongs here, `moment(task)` by which the latest come first,
   *   `words(shown, total)` that it does not show all
   * @param {number} most rows that are shown
   * @param {Watch} watch
   */
  constructor(name, { shows, moment, words }, most, watch) {
    this.#name = name;
    this.#shows = shows;
    this.#moment = moment;
    this.#words = words;
    this.#most = most;
    this.#watch = watch;
  }

  get section() {
    return document.getElementById(`rt-${this.#name}`);
  }

  get #body() {
    return this.section.querySelector("tbody");
  }

  /** How many there are, shown or not: as the server counted, and as events have added and removed since. */
  get #total() {
    return Number(this.section.dataset.total);
  }

  set #total(total) {
    this.section.dataset.total = Math.max(0, total);
  }

  row(id) {
    return document.getElementById(`${this.#name}-${id}`);
  }

  /** Whether a later state of a task than this is shown. */
  knowsBetter({ task_id: id, version }) {
    return Number(this.row(id)?.dataset.version) > version;
  }

  /** Show what has become of a task, here or no longer here. */
  place(task) {
    if (!this.#shows(task)) this.drop(task.task_id);
    else if (this.row(task.task_id) || this.#add(task)) this.#fill(this.row(task.task_id), task);
  }

  drop(id) {
    const row = this.row(id);
    if (!row) return;
    row.remove();
    this.#total -= 1;
    this.draw();
  }

  /** Say what is not shown. Only where the server knows of none there is nothing. */
  draw() {
    const [shown, total, reach] = [this.#body.childElementCount, this.#total, Number(this.section.dataset.reach)];
    this.section.querySelector("table").hidden = shown === 0;
    this.section.querySelector(".rt-empty").hidden = shown > 0 || total > 0;
    const some = this.section.querySelector(".rt-some");
    some.hidden = shown >= total;
    const all = total > reach ? `${number.format(reach)}+` : number.format(total);
    if (!some.hidden) write(some.querySelector("span"), this.#words(number.format(shown), all));
  }

  /** Keep in an answer of the server the rows that are here in the same state: their bars do not go back. */
  keep(next) {
    for (const row of next.querySelectorAll(`#rt-${this.#name} tbody > tr`)) {
      const mine = document.getElementById(row.id);
      if (Number(mine?.dataset.version) >= Number(row.dataset.version)) row.replaceWith(mine.cloneNode(true));
    }
  }

  /** Make its row; tell whether it is among those that are shown. */
  #add(task) {
    const [at, body] = [this.#moment(task), this.#body];
    const next = [...body.children].find((other) => other.dataset.at < at) ?? null;
    // It may be one of those that are not shown, or another: the server says how many there are then.
    if (next === null && body.childElementCount >= this.#most) return false;
    const row = document.getElementById("rt-row").content.cloneNode(true).firstElementChild;
    row.id = `${this.#name}-${task.task_id}`;
    row.dataset.at = at;
    row.querySelector("a").href = document.getElementById("rt-panels").dataset.taskUrl.replace(/[0-9a-f-]{36}/, task.task_id);
    row.querySelector("progress").setAttribute("aria-label", `Progress of ${task.name ?? "a task"}`);
    body.insertBefore(row, next);
    if (body.childElementCount > this.#most) body.lastElementChild.remove();
    this.#total += 1;
    this.draw();
    return true;
  }

  #fill(row, task) {
    row.dataset.version = task.version;
    if (task.name !== undefined) write(row.querySelector("a"), task.name.slice(0, 80));
    writeState(row.querySelector(".rt-status"), stateOf(task));
    writeProgress(row.querySelector(".rt-progress"), task);
    writeTime(row.querySelector("td > time"), task.finished_at ?? task.started_at, this.#watch.zone);
    writeDuration(row.querySelector(".rt-duration"), task, this.#watch.now());
  }
}
