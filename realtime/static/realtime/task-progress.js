// <task-progress task-id="…">: one task, moving. What the server rendered into it stays until it is live.

import { announce, prepare } from "./announcer.js";
import { make, setAttribute, sign, write } from "./dom.js";
import { getClient } from "./page.js";
import { LONGEST_TIMER } from "./timing.js";
import { CONNECTION, STATUS, messageText, percent, progressText, taskState } from "./words.js";

const ENDS = new Set(["done", "failed", "cancelled"]);
const QUARTER = 25;
/** A running task without a report for so many seconds is shown as such; `stale-after` overrides it. */
const STALE_AFTER = 120;

/**
 * A bar with words. Attributes that it sets: `data-state` (a key of `STATUS`), `data-connection` while that is
 * not live. A bar never goes back and is full only at the end; without a known length it moves instead.
 */
export class TaskProgress extends HTMLElement {
  static observedAttributes = ["task-id"];

  #client = null;
  #id = null;
  #listening = null;
  #parts = null;
  #highest = 0;
  #state = null;
  #milestone = 0;
  #timer = null;

  /** The row to show, for who has it already, such as `<task-list>`; then nothing is subscribed. */
  set task(task) {
    this.#build();
    this.#draw(task);
  }

  connectedCallback() {
    this.#follow(this.getAttribute("task-id"));
  }

  disconnectedCallback() {
    this.#leave();
  }

  attributeChangedCallback(name, before, id) {
    if (this.isConnected && before !== id) this.#follow(id);
  }

  #follow(id) {
    if (!id || id === this.#id) return;
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
    clearTimeout(this.#timer);
    this.#listening?.abort();
    if (this.#id !== null) release(this.#client, this.#id);
    this.#id = this.#state = this.#listening = null;
    this.#highest = this.#milestone = 0;
  }

  #update() {
    const task = this.#client.tasks.get(this.#id);
    const { state } = this.#client.line;
    if (task === undefined && state !== "live" && state !== "denied") return; // what was rendered stays
    this.#build();
    if (task === undefined) this.#say("denied");
    else this.#draw(task);
    setAttribute(this, "data-connection", state === "live" ? null : state);
    const [words] = CONNECTION[state] ?? [""];
    const old = state !== "live" && !ENDS.has(this.#state);
    write(this.#parts.connection, old ? words : "");
  }

  #build() {
    if (this.#parts !== null) return;
    const parts = {
      name: make("span", "rt-name"),
      state: make("span", "rt-state"),
      bar: make("div", "rt-bar"),
      fill: make("div", "rt-fill"),
      text: make("span", "rt-text"),
      message: make("span", "rt-message"),
      connection: make("span", "rt-connection"),
    };
    const [head, foot] = [make("div", "rt-line"), make("div", "rt-line")];
    head.append(parts.name, parts.state);
    foot.append(parts.text, parts.message, parts.connection);
    parts.connection.hidden = true;
    parts.bar.append(parts.fill);
    parts.bar.setAttribute("role", "progressbar");
    parts.bar.setAttribute("aria-valuemin", "0");
    parts.bar.setAttribute("aria-valuemax", "100");
    this.#parts = parts;
    this.replaceChildren(head, parts.bar, foot);
  }

  #draw(task) {
    const staleAfter = 1000 * (Number(this.getAttribute("stale-after")) || STALE_AFTER);
    const state = taskState(task, now(), staleAfter);
    const known = percent(task);
    // Reports may be corrected downwards; a bar that goes back reads as a mistake.
    if (known !== null) this.#highest = Math.max(this.#highest, known);
    const shown = known === null ? null : this.#highest;
    write(this.#parts.name, task.name ?? "");
    write(this.#parts.text, progressText(task, shown));
    write(this.#parts.message, messageText(task));
    setAttribute(this.#parts.bar, "aria-label", task.name || "Progress");
    setAttribute(this.#parts.bar, "aria-valuenow", shown);
    setAttribute(this.#parts.bar, "aria-valuetext", [STATUS[state][0], progressText(task, shown)].join(" "));
    this.#parts.fill.style.setProperty("inline-size", shown === null ? "" : `${shown}%`);
    this.toggleAttribute("data-indeterminate", shown === null);
    this.#say(state);
    this.#announce(task, state, shown);
    clearTimeout(this.#timer);
    // Nothing comes when a worker is silent: look when it has been for too long.
    const left = Date.parse(task.updated_at) + staleAfter - now();
    if (state === "running") this.#timer = setTimeout(() => this.#draw(task), Math.min(left + 50, LONGEST_TIMER));
  }

  #say(state) {
    setAttribute(this, "data-state", state);
    sign(this.#parts.state, STATUS[state]);
    this.#parts.bar.hidden = state === "denied";
  }

  /** The quarters and the end; not what was so already when the page came. */
  #announce(task, state, shown) {
    const milestone = Math.floor((shown ?? 0) / QUARTER);
    // In a list of everybody's tasks nobody could follow.
    if (this.#state !== null && this.closest('task-list[topic="tasks"]') === null) {
      if (state !== this.#state) announce(`${task.name}: ${STATUS[state][0]}.`);
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
