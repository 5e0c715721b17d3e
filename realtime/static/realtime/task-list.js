// <task-list topic="mine">: the tasks of a topic, the active ones first, then the newest; none moves while it is
// looked at. What the server rendered stays until it is live.

import { prepare } from "./announcer.js";
import { make, write } from "./dom.js";
import { getClient } from "./page.js";
import { number } from "./words.js";

/** Before these there was nothing yet that could be old. */
const BEGINS = new Set([null, "connecting", "catching-up"]);
const FINAL = new Set(["completed", "failed", "cancelled"]);

/**
 * A list of `<task-progress>`. `topic` is `mine` or `tasks`; `actions` offers to cancel and to retry; `label`
 * names the list; `empty` is what it says when there is none, or an element of the class `rt-empty` within;
 * `limit` how many it shows; `stale-after` as of `<task-progress>`. It sets `data-old` while it may be old.
 */
export class TaskList extends HTMLElement {
  #client = null;
  #listening = null;
  #list = null;
  #empty = null;
  #more = null;
  #items = new Map();
  #truncated = false; // the server has more than it sent
  #dropped = false; // there are more here than are shown
  #wasLive = false;

  connectedCallback() {
    this.#client = getClient();
    this.#client.follow(this.#topic, this.#limit);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client.addEventListener("snapshot", () => this.#drawAll(), { signal });
    this.#client.addEventListener("change", ({ detail }) => this.#change(detail), { signal });
    this.#client.addEventListener("frame", ({ detail }) => this.#heard(detail), { signal });
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

  /** Take over what the server has rendered, or make it. */
  #build() {
    if (this.#list !== null) return;
    this.#list = this.querySelector(".rt-tasks") ?? make("ol", "rt-tasks");
    this.#empty = this.querySelector(".rt-empty") ?? make("p", "rt-empty", this.getAttribute("empty") || "No tasks yet.");
    this.#more = this.querySelector(".rt-more") ?? make("p", "rt-more");
    if (this.hasAttribute("label")) this.#list.setAttribute("aria-label", this.getAttribute("label"));
    for (const item of this.#list.children) {
      this.#items.set(this.#idOf(item), item);
    }
    this.append(this.#list, this.#more, this.#empty);
  }

  /** What the page's client holds for others, such as a task watched by its id, may not be ours. */
  #shows(task) {
    return task !== undefined && (this.#topic === "tasks" || String(task.owner) === this.#client.userId);
  }

  #drawAll() {
    this.#build();
    this.#dropped = false;
    for (const id of new Set([...this.#items.keys(), ...this.#client.tasks.keys()])) this.#draw(id);
    this.#finish();
  }

  #change(id) {
    if (this.#list === null) return; // the first snapshot is not complete
    this.#draw(id);
    this.#finish();
  }

  #heard({ type, topics, recovered = false, truncated = false }) {
    if (type !== "subscribed" || recovered || !topics.includes(this.#topic)) return;
    this.#truncated = truncated;
    if (this.#list !== null) this.#finish();
  }

  #draw(id) {
    const task = this.#client.tasks.get(id);
    if (!this.#shows(task)) {
      this.#items.get(id)?.remove();
      this.#items.delete(id);
      return;
    }
    if (!this.#items.has(id)) this.#insert(id, task);
    this.#items.get(id).querySelector("task-progress").task = task;
  }

  /** One that ends stays where it is: the rows below would move under the mouse. */
  #insert(id, { created_at: created, status }) {
    const [item, task] = [make("li"), document.createElement("task-progress")];
    item.dataset.created = created;
    item.toggleAttribute("data-active", !FINAL.has(status));
    task.setAttribute("task-id", id);
    for (const name of ["actions", "stale-after"]) {
      if (this.hasAttribute(name)) task.setAttribute(name, this.getAttribute(name));
    }
    item.append(task);
    this.#items.set(id, item);
    const active = item.hasAttribute("data-active");
    const next = [...this.#list.children].find((other) => {
      if (active !== other.hasAttribute("data-active")) return active;
      return other.dataset.created < created;
    });
    this.#list.insertBefore(item, next ?? null);
  }

  /** Old ones go when there are too many: their number has a bound. Those that still work go last. */
  #finish() {
    while (this.#list.childElementCount > this.#limit) {
      const oldestFirst = [...this.#list.children].reverse();
      const item = oldestFirst.find((one) => !this.#isActive(one)) ?? oldestFirst[0];
      this.#items.delete(this.#idOf(item));
      item.remove();
      this.#dropped = true;
    }
    this.#empty.hidden = this.#items.size > 0;
    const some = this.#truncated || this.#dropped;
    const shown = number.format(this.#items.size);
    write(this.#more, some ? `Only ${shown} are shown: the active ones and the newest.` : "");
    this.#stale();
  }

  #idOf(item) {
    return item.querySelector("task-progress").getAttribute("task-id");
  }

  #isActive(item) {
    const task = this.#client.tasks.get(this.#idOf(item));
    return task !== undefined && !FINAL.has(task.status);
  }

  #stale() {
    const { state } = this.#client;
    if (state === "live") this.#wasLive = true;
    this.toggleAttribute("data-old", state !== "live" && (this.#wasLive || !BEGINS.has(state)));
  }
}
