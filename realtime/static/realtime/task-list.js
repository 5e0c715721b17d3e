// <task-list topic="mine">: the tasks of a topic, the newest first. What the server rendered stays until it is live.

import { prepare } from "./announcer.js";
import { make } from "./dom.js";
import { getClient } from "./page.js";

/**
 * A list of `<task-progress>`. `topic` is `mine` or `tasks`; `empty` is what it says when there is none; `limit`
 * how many it shows.
 */
export class TaskList extends HTMLElement {
  #client = null;
  #listening = null;
  #list = null;
  #empty = null;
  #items = new Map();

  connectedCallback() {
    this.#client = getClient();
    this.#client.follow(this.#topic);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client.addEventListener("snapshot", () => this.#drawAll(), { signal });
    this.#client.addEventListener("change", ({ detail }) => this.#change(detail), { signal });
    this.#client.addEventListener("state", () => this.#stale(), { signal });
    prepare();
    if (this.#client.state === "live") this.#drawAll();
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  get #topic() {
    return this.getAttribute("topic") || "mine";
  }

  get #limit() {
    return Number(this.getAttribute("limit")) || 100;
  }

  #build() {
    if (this.#list !== null) return;
    this.#list = make("ol", "rt-tasks");
    this.#empty = make("p", "rt-empty", this.getAttribute("empty") || "No tasks yet.");
    if (this.hasAttribute("label")) this.#list.setAttribute("aria-label", this.getAttribute("label"));
    this.replaceChildren(this.#list, this.#empty);
  }

  /** What the page's client holds for others, such as a task watched by its id, may not be ours. */
  #shows(task) {
    return task !== undefined && (this.#topic === "tasks" || String(task.owner) === this.#client.userId);
  }

  #drawAll() {
    this.#build();
    for (const id of new Set([...this.#items.keys(), ...this.#client.tasks.keys()])) this.#draw(id);
    this.#finish();
  }

  #change(id) {
    if (this.#list === null) return; // the first snapshot is not complete
    this.#draw(id);
    this.#finish();
  }

  #draw(id) {
    const task = this.#client.tasks.get(id);
    if (!this.#shows(task)) {
      this.#items.get(id)?.remove();
      this.#items.delete(id);
      return;
    }
    if (!this.#items.has(id)) this.#insert(id, task);
    this.#items.get(id).firstElementChild.task = task;
  }

  #insert(id, { created_at: created }) {
    const item = make("li");
    item.dataset.created = created;
    item.append(document.createElement("task-progress"));
    this.#items.set(id, item);
    const next = [...this.#list.children].find((other) => other.dataset.created < created);
    this.#list.insertBefore(item, next ?? null);
  }

  /** Old ones go when there are too many: their number has a bound. */
  #finish() {
    while (this.#list.childElementCount > this.#limit) {
      const last = this.#list.lastElementChild;
      for (const [id, item] of this.#items) if (item === last) this.#items.delete(id);
      last.remove();
    }
    this.#empty.hidden = this.#items.size > 0;
    this.#stale();
  }

  #stale() {
    this.toggleAttribute("data-old", this.#client.state !== "live");
  }
}
