// The client of task events: the rows of the tasks it follows, their log lines and the broadcasts in their
// window, kept as the server has them, over whatever transport gets through, and one connection for all tabs.

import { Credential } from "./credential.js";
import { post } from "./deeds.js";
import { Store } from "./store.js";
import { Alone, Tabs } from "./tabs.js";
import { TIMING } from "./timing.js";
import { siteUrls } from "./urls.js";

/** Milliseconds for an answer over HTTP. */
const PATIENCE_MS = 10_000;

/**
 * Holds the present state of what it follows, and tells of it by events:
 *
 * - `state`: the connection's state changed; `detail` is `line`
 * - `snapshot`: all of `tasks` is new
 * - `change`: one task of `tasks` is new, changed or gone; `detail` is its id
 * - `dropped`: one is held no longer, and is not gone: so many are held; `detail` is its id
 * - `broadcasts`: `broadcasts` has changed
 * - `log`: a line of a watched task; `detail` is {task_id, line}
 * - `topic`: an event of one of the site's own topics; `detail` is the frame: {topic, event, data, …}, where the
 *   event `snapshot` tells how things are
 * - `topic-end`: this user may not see it, or not any more; `detail` is {topic}
 * - `frame`: whatever the server sent, after it was applied; `detail` is the frame
 *
 * States: `connecting`, `live`, `catching-up` (connected, not all of it is here yet), `reconnecting` and
 * `offline` (what is shown may be old), `paused` (by `pause`), `denied` (for good); null before `start` and
 * after `stop`. words.js has words for them.
 */
export class RealtimeClient extends EventTarget {
  #store;
  #way;
  #credential;
  #csrf;
  #urls;
  #line = { state: null, reason: "", code: null, retryIn: null, transport: null };
  #paused = false;
  #running = false;
  #listening = new AbortController();
  #announced = false; // a change of what is wanted is about to be told
  #behind = []; // the tasks whose lines are being asked for

  /**
   * Without `token` and `renew` the browser's session cookie is the credential.
   *
   * @param {object} [options]
   * @param {string|URL} [options.url] of the socket, ws: or wss:, without the token; this site's own if none
   * @param {string} [options.token] access token
   * @param {() => Promise<string|null>} [options.renew] gives a new token, or null when there is none to be
   *   had; throws when it could not ask
   * @param {string[]} [options.topics] what to follow: `mine`, `tasks`
   * @param {Iterable<string>} [options.taskIds] single tasks to follow, with their log lines
   * @param {boolean} [options.shared] share one connection with the other tabs; by default with the cookie only
   * @param {string|null} [options.user] the user's id, where the page knows it
   * @param {string} [options.csrf] Django's CSRF token; with the cookie, `cancel` and `retry` need it
   * @param {object} [options.urls] other addresses of the site: see urls.js
   * @param {object} [options.timing] see timing.js
   */
  constructor({ url, token, renew, topics = ["mine"], taskIds = [], shared, user = null, csrf, urls, timing } = {}) {
    super();
    this.#csrf = csrf;
    this.#credential = new Credential(token, renew);
    this.#urls = siteUrls(url, urls);
    this.#store = new Store({ topics, taskIds }, user, (name, detail) => this.#tell(name, detail));
    const options = { urls: this.#urls, credential: this.#credential, timing: { ...TIMING, ...timing } };
    const together = (shared ?? this.#credential.isCookie) && Tabs.possible;
    this.#way = new (together ? Tabs : Alone)({
      name: `realtime ${this.#urls.socket} ${user ?? ""}`,
      receive: (message) => this.#receive(message),
      report: () => this.#store.report,
      options,
    });
  }

  /** The id of the user that the server knows us as; null until connected. */
  get userId() {
    return this.#store.userId;
  }

  /** The tasks by id, as the last events left them. */
  get tasks() {
    return this.#store.tasks;
  }

  /** The log lines of watched tasks by task id: arrays of {number, level, text, timestamp}, in order. */
  get lines() {
    return this.#store.lines.byTask;
  }

  /** The `broadcast` frames in their window, the newest first. */
  get broadcasts() {
    return this.#store.notices.newestFirst;
  }

  get state() {
    return this.#line.state;
  }

  /**
   * All about the state: {state, reason, code, retryIn, transport}. `reason` and `code` are the server's message and
   * code of an error; `transport` is `websocket`, `sse` or `polling`.
   */
  get line() {
    return this.#line;
  }

  /** The server's clock, in milliseconds since 1970; ours may be wrong. */
  now() {
    return this.#store.now();
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#paused = false;
    this.#setLine({ state: "connecting" });
    this.#way.start();
    // A page that the browser puts aside must not keep the connection from the others.
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    window.addEventListener("pagehide", () => this.#way.stop(), { signal });
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.#way.start(), { signal });
  }

  stop() {
    this.#leave();
    this.#behind = [];
    this.#store.notices.stop();
    this.#setLine({ state: null });
  }

  /** Let the connection go, and keep what is held; `resume` goes on from there. */
  pause() {
    if (!this.#running) return;
    this.#leave();
    this.#paused = true;
    this.#setLine({ state: "paused" });
  }

  resume() {
    if (this.#paused) this.start();
  }

  /** Follow these tasks too, with their log lines. */
  watch(taskIds) {
    const added = [...taskIds].filter((id) => this.#store.watch(id));
    if (added.length > 0) this.#wantsOtherwise();
  }

  /** Follow these tasks no longer, unless a topic does. */
  unwatch(taskIds) {
    const removed = [...taskIds].filter((id) => this.#store.unwatch(id));
    if (removed.length > 0) this.#wantsOtherwise();
  }

  /** Follow another topic, and hold at least so many of its tasks: `Store.keep` says which others go. */
  follow(topic, keep = 0) {
    this.#store.keep(keep);
    if (this.#store.want.topics.has(topic)) return;
    this.#store.want.topics.add(topic);
    this.#wantsOtherwise();
  }

  /** Ask a task to stop. Resolves to its row as the server has it; rejects with an `Error` in words for people. */
  cancel(taskId) {
    return this.#do("cancel", taskId);
  }

  /** Try a finished task again. Resolves to the new task's row; rejects as `cancel` does. */
  retry(taskId) {
    return this.#do("retry", taskId);
  }

  #do(deed, taskId) {
    const csrf = this.#credential.isCookie && this.#csrf ? { "X-CSRFToken": this.#csrf } : {};
    return post(this.#urls.tasks, taskId, deed, { ...this.#credential.headers, ...csrf });
  }

  /** Follow one of the site's own topics, such as `order.42`: its events come as `topic`. */
  subscribe({ topic }) {
    this.follow(topic);
  }

  /** Follow a topic no longer. */
  unsubscribe({ topic }) {
    if (this.#store.unfollow(topic)) this.#wantsOtherwise();
  }

  /** Several changes in a row are told together. */
  #wantsOtherwise() {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      if (this.#running) this.#way.changed();
    });
  }

  #leave() {
    this.#running = this.#paused = false;
    this.#listening.abort();
    this.#way.stop();
    this.#store.cut();
  }

  #receive(message) {
    if (!this.#running) return;
    if (message.kind === "begin") this.#store.begin(message.want, message.hello);
    if (message.kind === "frame") this.#apply(message.frame);
    if (message.kind === "refused") return this.#refused(message);
    if (message.line) this.#setLine(message.line);
    else this.#setLine(this.#told);
    if (message.line?.state === "denied") this.#leave();
  }

  #told = this.#line; // what the connection says; a tab may have to wait longer

  #apply(frame) {
    if (this.#store.apply(frame)) this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  #refused({ problem, taskIds }) {
    if (taskIds) return this.#store.missing(taskIds);
    this.#leave();
    this.#setLine({ state: "denied", reason: problem.message, code: problem.code });
  }

  #setLine(line) {
    this.#told = { reason: "", code: null, retryIn: null, transport: null, ...line };
    const waits = this.#told.state === "live" && !this.#store.complete;
    const next = waits ? { ...this.#told, state: "catching-up" } : this.#told;
    const same = Object.keys(next).every((key) => next[key] === this.#line[key]);
    this.#line = next;
    if (!same) this.dispatchEvent(new CustomEvent("state", { detail: { ...next } }));
  }

  #tell(name, detail) {
    if (name === "snapshot") this.#fill();
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Lines may have been written while there was no subscription: ask for those after the last one held. */
  async #fill() {
    const ids = (this.#behind = this.#store.behind);
    for (const id of ids) {
      let more = true;
      while (more && ids === this.#behind) more = await this.#read(id);
    }
  }

  /** Ask for the lines after the last one of a task; resolves to whether there are more. */
  async #read(id) {
    try {
      const url = new URL(`${id}/log/?after=${this.#store.lines.last(id) ?? 0}`, this.#urls.tasks);
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const response = await fetch(url, { headers: this.#credential.headers, signal });
      const { lines = [], later = false } = response.ok ? await response.json() : {};
      for (const line of lines) this.#store.addLine(id, line);
      return later && lines.length > 0 && this.#store.lines.last(id) !== null;
    } catch {
      return false; // the next snapshot asks again
    }
  }
}
