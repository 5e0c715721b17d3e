// One task on the page: its element, filled from the template with text only.

import { STATUS_WORDS, clockTime, duration, numbers, resultText } from "./words.js";

const FINAL = new Set(["completed", "failed", "cancelled"]);

export class TaskRow {
  #task;
  #fields = {};

  /** @param {object} task its public fields
   *  @param {number} now the server's clock in milliseconds */
  constructor(task, now) {
    const template = document.getElementById("task");
    this.element = template.content.cloneNode(true).firstElementChild;
    this.element.dataset.created = task.created_at;
    for (const field of this.element.querySelectorAll("[data-field]")) {
      this.#fields[field.dataset.field] = field;
    }
    this.#fields.name.id = `task-${task.task_id}`;
    this.#bar.setAttribute("aria-labelledby", this.#fields.name.id);
    this.update(task, now);
  }

  get #bar() {
    return this.element.querySelector("[role=progressbar]");
  }

  update(task, now) {
    this.#task = task;
    const { status } = task;
    const cancelling = status === "running" && task.cancel_requested_at;
    this.element.dataset.status = status;
    this.element.querySelector("use").setAttribute("href", `#icon-${status}`);
    this.#write("status", cancelling ? "Cancelling" : STATUS_WORDS[status] ?? status);
    this.#write("name", task.name ?? "");
    this.#write("message", FINAL.has(status) ? "" : [task.phase, task.message].filter(Boolean).join(": "), true);
    this.#write("numbers", numbers(task, this.#percent));
    this.#write("result", status === "completed" ? resultText(task) : "", true);
    this.#write("error", task.error ?? "", true);
    this.#write("started", task.started_at ? `Started ${clockTime(Date.parse(task.started_at))}` : "Not started yet");
    this.#drawBar();
    this.tick(now);
  }

  /** The time that the task has taken until now, or took. */
  tick(now) {
    const { started_at: start, finished_at: end } = this.#task;
    if (!start) return this.#write("duration", "");
    const length = duration((end ? Date.parse(end) : now) - Date.parse(start));
    this.#write("duration", end ? `Took ${length}` : `${length} so far`);
  }

  /** Whole percent; 100 only when the task is completed, for a bar that is full promises an end. */
  get #percent() {
    if (this.#task.status === "completed") return 100;
    return Math.min(99, Math.max(0, Math.floor(this.#task.progress ?? 0)));
  }

  #drawBar() {
    this.#bar.setAttribute("aria-valuenow", this.#percent);
    this.#bar.firstElementChild.style.setProperty("transform", `scaleX(${this.#percent / 100})`);
  }

  #write(name, text, hideWhenEmpty = false) {
    const field = this.#fields[name];
    if (field.textContent !== text) field.textContent = text;
    if (hideWhenEmpty) field.hidden = text === "";
  }
}
