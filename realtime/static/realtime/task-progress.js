// <task-progress task-id="…">: one task, moving. What the server rendered into it stays until it is live.

import { announce, prepare } from "./announcer.js";
import { make, setAttribute, sign, write } from "./dom.js";
import { getClient } from "./page.js";
import { resultElements } from "./result.js";
import { TaskActions } from "./task-actions.js";
import { LONGEST_TIMER, eachSecond } from "./timing.js";
import { CONNECTION, STATUS, factsText, messageText, paceText, percent, progressText, taskState } from "./words.js";

const ENDS = new Set(["done", "failed", "cancelled"]);
const QUARTER = 25;
/** A running task without a report for so many seconds is shown as such; `stale-after` overrides it. */
const STALE_AFTER = 120;

/**
 * A bar with words. Attributes: `task-id`; `actions` offers to cancel and to retry; `stale-after`, in seconds.
 * Attributes that it sets: `data-state` (a key of `STATUS`), `data-connection` while that is not live. A bar
 * never goes back and is full only at the end; without a known length it moves instead.
 */
export class TaskProgress extends HTMLElement {
  static observedAttributes = ["task-id"];

  #client = null;
  #id = null;
  #task = null;
  #listening = null;
  #parts = null;
  #actions = null;
  #highest = 0;
  #state = null;
  #milestone = 0;
  #timer = null;
  #rest = () => {}; // ends the ticking

  /** The row to show, for who has it already, such as `<task-list>`; then nothing is subscribed. */
  set task(task) {
    this.#build();
    this.#draw(task);
  }

  connectedCallback() {
    this.#follow(this.getAttribute("task-id"));
  }

  disconnectedCallback() {
    this.#rest();
    clearTimeout(this.#timer);
    this.#leave();
  }

  attributeChangedCallback(name, before, id) {
    if (this.isConnected && before !== id) this.#follow(id);
  }

  #follow(id) {
    if (!id || id === this.#id || this.closest("task-list")) return; // a list follows for all its tasks
    this.#leave();
    this.#id = id.toLowerCase();
    this.#client = getClient();
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client.addEventListener("snapshot", () => this.#update(), { signal });
    this.#client.addEventListener("change", ({ detail }) => detail === this.#id && this.#update(), { signal });
    this.#client.addEventListener("state", () => this.#update(), { signal });
    claim(this.#client, this.#id);
    prepare();
    this.#update();
  }

  #leave() {
    if (this.#id === null) return;
    clearTimeout(this.#timer);
    this.#listening.abort();
    release(this.#client, this.#id);
    this.#parts?.result.replaceChildren();
    this.#id = this.#task = this.#state = this.#listening = null;
    this.#highest = this.#milestone = 0;
  }

  #update() {
    const task = this.#client.tasks.get(this.#id);
    const { state } = this.#client.line;
    if (task === undefined && state !== "live" && state !== "denied") return; // what was rendered stays
    this.#build();
    if (task === undefined) this.#deny();
    else this.#draw(task);
    setAttribute(this, "data-connection", state === "live" ? null : state);
    const [words] = CONNECTION[state] ?? [""];
    const old = state !== "live" && !ENDS.has(this.#state);
    write(this.#parts.connection, old ? words : "");
  }

  #build() {
    if (this.#parts !== null) return;
    // A bar that the server has drawn does not go back either.
    this.#highest = this.querySelector("progress")?.value ?? 0;
    const names = ["name", "state", "text", "message", "facts", "pace", "connection"];
    const parts = Object.fromEntries(names.map((name) => [name, make("span", `rt-${name}`)]));
    Object.assign(parts, { bar: make("div", "rt-bar"), fill: make("div", "rt-fill"), result: make("div", "rt-result") });
    const [head, foot, tail] = [make("div", "rt-line"), make("div", "rt-line"), make("div", "rt-line rt-tail")];
    head.append(parts.name, parts.state);
    foot.append(parts.text, parts.message);
    tail.append(parts.facts, parts.pace, parts.connection);
    for (const part of [parts.pace, parts.connection, parts.result]) part.hidden = true;
    parts.bar.append(parts.fill);
    parts.bar.setAttribute("role", "progressbar");
    parts.bar.setAttribute("aria-valuemin", "0");
    parts.bar.setAttribute("aria-valuemax", "100");
    if (this.hasAttribute("actions")) {
      this.#actions = new TaskActions((deed) => this.#act(deed));
      tail.append(this.#actions.element);
    }
    this.#parts = parts;
    this.replaceChildren(head, parts.bar, foot, parts.result, tail);
  }

  #draw(task) {
    this.#task = task;
    const staleAfter = 1000 * (Number(this.getAttribute("stale-after")) || STALE_AFTER);
    const state = taskState(task, now(), staleAfter);
    const known = percent(task);
    // Reports may be corrected downwards; a bar that goes back reads as a mistake.
    if (known !== null) this.#highest = Math.max(this.#highest, known);
    const shown = known === null ? null : this.#highest;
    const text = progressText(task, shown);
    write(this.#parts.name, task.name ?? "");
    write(this.#parts.text, text);
    write(this.#parts.message, messageText(task));
    setAttribute(this.#parts.bar, "aria-label", task.name || "Progress");
    setAttribute(this.#parts.bar, "aria-valuenow", shown);
    setAttribute(this.#parts.bar, "aria-valuetext", [STATUS[state][0], text].join(" "));
    this.#parts.fill.style.setProperty("inline-size", shown === null ? "" : `${shown}%`);
    this.toggleAttribute("data-indeterminate", shown === null);
    this.#showResult(task);
    this.#say(state);
    this.#announce(task, state, shown);
    this.#time();
    this.#rest();
    if (task.started_at && !task.finished_at) this.#rest = eachSecond(() => this.#tick());
    clearTimeout(this.#timer);
    // Nothing comes when a worker is silent: look when it has been for too long.
    const left = Date.parse(task.updated_at) + staleAfter - now();
    if (state === "running") this.#timer = setTimeout(() => this.#draw(task), Math.min(left + 50, LONGEST_TIMER));
  }

  /** A duration runs only while we know that its task does. */
  #tick() {
    if (getClient().state === "live") this.#time();
  }

  #time() {
    write(this.#parts.facts, factsText(this.#task, now()));
    write(this.#parts.pace, paceText(this.#task, this.#state, now()));
  }

  #showResult(task) {
    const { result } = this.#parts;
    if (task.status !== "completed" || result.childElementCount > 0) return;
    result.replaceChildren(...resultElements(task));
    result.hidden = result.childElementCount === 0;
  }

  /** Unknown, gone and not ours look the same. */
  #deny() {
    for (const part of ["text", "message", "facts", "pace"]) write(this.#parts[part], "");
    this.#parts.result.hidden = true;
    this.#rest();
    this.#state = "denied";
    this.#say("denied");
  }

  #say(state) {
    setAttribute(this, "data-state", state);
    sign(this.#parts.state, STATUS[state]);
    this.#parts.bar.hidden = state === "denied";
    this.#actions?.offer(state, this.#parts.name.textContent);
  }

  async #act(deed) {
    const { task_id: id } = await getClient()[deed](this.#task.task_id);
    if (deed === "retry" && this.#id !== null) this.setAttribute("task-id", id); // a list shows both
  }

  /** The quarters and the end; not what was so already when the page came. */
  #announce(task, state, shown) {
    const milestone = Math.floor((shown ?? 0) / QUARTER);
    // In a list of everybody's tasks nobody could follow.
    if (this.#state !== null && this.closest('task-list[topic="tasks"]') === null) {
      if (state !== this.#state) announce(`${task.name}: ${STATUS[state][0].replace("…", "")}.`);
      else if (milestone > this.#milestone) announce(`${task.name}: ${milestone * QUARTER} %.`);
    }
    this.#milestone = Math.max(this.#milestone, milestone);
    this.#state = state;
  }
}

function now() {
  return getClient().now();
}

/** How many elements of the page watch a task: it is watched until the last one goes. */
const watchers = new Map();

function claim(client, id) {
  watchers.set(id, (watchers.get(id) ?? 0) + 1);
  client.watch([id]);
}

function release(client, id) {
  const left = watchers.get(id) - 1;
  if (left > 0) watchers.set(id, left);
  else if (watchers.delete(id)) client.unwatch([id]);
}
