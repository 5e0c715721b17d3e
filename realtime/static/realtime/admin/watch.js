// What all live pages of the admin share: the connection, the switch, the age of what is shown, and pauses.
//
// Changes are collected and handed over together, `apply(ids)`, at once when nothing holds the page and the
// tab is seen: of an id whose task the client does not hold, the task is gone. `hold()` says in words why it must
// stand still just now, or "".

import { RealtimeClient } from "../client.js";
import { problemText } from "../words.js";
import { length, rough, tickAll, write } from "./cells.js";

const OFF = "realtime.admin.off";
/** Who was sent away by staff does not come back by itself. */
const DISCONNECTED = "disconnected";
const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  "catching-up": "Catching up…",
  reconnecting: "Reconnecting… what is shown may be old",
  offline: "Offline… what is shown may be old",
  paused: "Paused",
  denied: "Disconnected",
  off: "Off",
};
/** Milliseconds between two looks at what holds the page. */
const LOOK_MS = 250;
/** Changes that are remembered one by one while the page is held; after more, all that is held is shown anew. */
const MANY = 1_000;
/** Milliseconds for which a sentence is away before it is said: else the same one twice would be said once. */
const PAUSE_MS = 100;
/** States in which what is shown may be old. */
const LOST = new Set(["reconnecting", "offline"]);
/** Milliseconds without a change, while all is well, after which the page is not old: nothing has happened. */
const QUIET_MS = 60_000;

export class Watch {
  #bar = document.getElementById("rt-bar");
  #apply;
  #hold;
  #own;
  #options;
  #on = readOn() ?? true;
  #changed = new Set();
  #gone = new Set(); // of the page's own, so it has a bound
  #all = false; // more has changed than is remembered
  #asked = false;
  #at;
  #wasLive = false;
  #lost = false;
  #waiting = []; // sentences
  #reason = "";
  #code = "";

  client = null;

  /**
   * @param {(ids: Set<string>, missed: boolean) => void} apply shows what has become of these tasks; `missed`: what
   *   the page shows of others may be old
   * @param {() => string} hold why nothing may move, or ""
   * @param {{has: (id: string) => boolean}} own what the page shows, and so must hear of when it is gone; `taskIds` if none
   * @param {{topics?: string[], taskIds?: string[], frame?: (frame: object) => void, state?: (state: string) => void}} options
   */
  constructor(apply, { hold = () => "", own, ...options } = {}) {
    this.#apply = apply;
    this.#hold = hold;
    this.#own = own ?? new Set(options.taskIds);
    this.#options = options;
    this.#at = Date.parse(this.#bar.dataset.at);
    this.skew = this.#at - Date.now();
    this.#find(".rt-asof").hidden = true;
    this.#find(".rt-controls").hidden = false;
    this.#find(".rt-switch").addEventListener("click", () => this.#switch(!this.on));
    addEventListener("pagehide", () => this.client?.stop());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#turn(readOn() ?? this.#on));
    // Another tab has switched.
    addEventListener("storage", ({ key }) => (key === OFF || key === null) && this.#follow());
    document.addEventListener("visibilitychange", () => {
      this.#flush();
      this.#return();
    });
    setInterval(() => this.#tick(), LOOK_MS);
    this.#turn(this.#on);
  }

  /** Whether the user wants the page to move; remembered for all live pages, if the browser remembers. */
  get on() {
    return this.#on;
  }

  get zone() {
    return this.#bar.dataset.zone;
  }

  get state() {
    return this.on ? (this.client?.state ?? "connecting") : "off";
  }

  /** Whether what is shown is the latest there is. */
  get live() {
    return this.state === "live";
  }

  /** The server's clock. */
  now() {
    return this.client?.state === "live" ? this.client.now() : Date.now() + this.skew;
  }

  /** Say a milestone to those who do not see it; nothing that comes with every step. */
  say(text) {
    if (this.#waiting.length === 0) {
      this.#find(".rt-said").textContent = "";
      setTimeout(() => write(this.#find(".rt-said"), this.#waiting.splice(0).join(" ")), PAUSE_MS);
    }
    this.#waiting.push(text);
  }

  /** Something new was shown, as of now or of `at`. */
  updated(at = this.now()) {
    this.#at = Math.max(this.#at, at);
  }

  #find(selector) {
    return this.#bar.querySelector(selector);
  }

  #switch(on) {
    writeOff(on ? null : "1");
    this.#turn(on);
  }

  #follow() {
    const on = readOn() ?? this.#on;
    if (on !== this.#on) this.#turn(on);
  }

  #turn(on) {
    this.#on = on;
    this.#find(".rt-switch").setAttribute("aria-pressed", String(on));
    if (on) this.#open();
    else this.#close();
    this.#show();
  }

  #open() {
    this.#close();
    const { topics = ["tasks"], taskIds = [], frame } = this.#options;
    const { user, socket: url, stream, polling, ticket, tasks, health } = this.#bar.dataset;
    const urls = { stream, polling, ticket, tasks, health };
    const client = new RealtimeClient({ url, urls, topics: [...topics], taskIds: [...taskIds], user });
    this.client = client;
    client.addEventListener("state", ({ detail }) => this.#turned(detail));
    client.addEventListener("snapshot", () => this.#note());
    client.addEventListener("change", ({ detail }) => this.#note(detail));
    if (frame) client.addEventListener("frame", ({ detail }) => frame(detail));
    client.start();
  }

  #close() {
    this.client?.stop();
    this.client = null;
    this.#changed.clear();
    this.#gone.clear();
    this.#all = this.#wasLive = this.#lost = false;
  }

  /** Who logs in again does so in another tab, and then comes back to this one. */
  #return() {
    if (!document.hidden && this.state === "denied" && this.#code !== DISCONNECTED) this.#open();
  }

  #turned({ state, reason, code }) {
    if (!this.on) return;
    this.#code = code ?? "";
    this.#reason = problemText({ code, message: reason });
    if (state === "live") this.updated();
    this.#show();
    if (state === "live" && this.#lost) this.say("Live again.");
    if (LOST.has(state) && this.#wasLive && !this.#lost) this.say("The connection is lost; trying again.");
    this.#wasLive ||= state === "live";
    this.#lost = state !== "live" && (this.#lost || (LOST.has(state) && this.#wasLive));
    if (state === "denied") this.say(`Disconnected. ${this.#reason}`);
    this.#options.state?.(state);
  }

  /** Remember that a task has changed, or without an id that all may have. */
  #note(id) {
    if (id === undefined || this.#changed.size >= MANY) this.#all = true;
    if (this.#all) this.#changed.clear();
    else this.#changed.add(id);
    if (id !== undefined && !this.client.tasks.has(id) && this.#own.has(id)) this.#gone.add(id);
    if (this.#asked) return;
    this.#asked = true;
    // Together what came together; not by the frame, which a hidden tab does not get.
    queueMicrotask(() => {
      this.#asked = false;
      this.#flush();
    });
  }

  #flush() {
    const why = this.on && !document.hidden ? this.#hold() : "";
    const held = this.#find(".rt-held");
    held.hidden = why === "";
    write(held, why && `Held while ${why}`);
    if (!(this.#changed.size || this.#gone.size || this.#all) || document.hidden || why) return;
    const { tasks } = this.client;
    // One that was dropped meanwhile, to hold a bounded number, is not gone.
    const ids = new Set(this.#all ? tasks.keys() : [...this.#changed].filter((id) => tasks.has(id)));
    const dropped = (id) => !tasks.has(id) && !this.#gone.has(id) && this.#own.has(id);
    const missed = this.#all || [...this.#changed].some(dropped);
    for (const id of this.#gone) ids.add(id);
    this.#changed.clear();
    this.#gone.clear();
    this.#all = false;
    this.#apply(ids, missed);
    this.updated();
  }

  #tick() {
    this.#flush();
    if (document.hidden) return;
    if (this.live && !this.#hold()) tickAll(document, this.now());
    const age = this.now() - this.#at;
    const quiet = this.live && age >= QUIET_MS;
    write(this.#find(".rt-age"), quiet ? `last change ${rough(age)} ago` : `updated ${length(age)} ago`);
  }

  #show() {
    const { state } = this;
    const shown = this.#find(".rt-state");
    shown.dataset.state = state;
    this.#find(".rt-again").hidden = state !== "denied";
    const why = state === "denied" ? this.#reason : "";
    write(shown.querySelector(".rt-state-text"), [WORDS[state] ?? state, why].filter(Boolean).join(". "));
  }
}

/** What is remembered of the switch; null in a browser that remembers nothing. */
function readOn() {
  try {
    return localStorage.getItem(OFF) === null;
  } catch {
    return null;
  }
}

function writeOff(value) {
  try {
    if (value === null) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, value);
  } catch {
    // It is forgotten with the page.
  }
}
