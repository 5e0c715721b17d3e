// What all live pages of the admin share: the connection, the switch, the age of what is shown, and pauses.
//
// Changes are collected and handed over together, `apply(ids)`, at once when nothing holds the page and the
// tab is seen. `hold()` says in words why it must stand still just now, or "".

import { RealtimeClient } from "../client.js";
import { length, tickAll, write } from "./cells.js";

const OFF = "realtime.admin.off";
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

export class Watch {
  #bar = document.getElementById("rt-bar");
  #apply;
  #hold;
  #options;
  #changed = new Set();
  #asked = false;
  #at;
  #told = "";
  #reason = "";

  client = null;

  /**
   * @param {(ids: Set<string>) => void} apply shows what has become of these tasks
   * @param {() => string} hold why nothing may move, or ""
   * @param {{topics?: string[], taskIds?: string[], frame?: (frame: object) => void, state?: (state: string) => void}} options
   */
  constructor(apply, { hold = () => "", ...options } = {}) {
    this.#apply = apply;
    this.#hold = hold;
    this.#options = options;
    this.#at = Date.parse(this.#bar.dataset.at);
    this.skew = this.#at - Date.now();
    this.#find(".rt-asof").hidden = true;
    this.#find(".rt-controls").hidden = false;
    this.#find(".rt-switch").addEventListener("click", () => this.#switch(!this.on));
    addEventListener("pagehide", () => this.client?.stop());
    addEventListener("pageshow", ({ persisted }) => persisted && this.on && this.#open());
    document.addEventListener("visibilitychange", () => this.#flush());
    setInterval(() => this.#tick(), LOOK_MS);
    this.#switch(this.on);
  }

  /** Whether the user wants the page to move; remembered for all live pages. */
  get on() {
    return readOff() === null;
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
    write(this.#find(".rt-said"), text);
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
    this.#find(".rt-switch").setAttribute("aria-pressed", String(on));
    if (on) this.#open();
    else this.#close();
    this.#show();
  }

  #open() {
    this.#close();
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const { topics = ["tasks"], taskIds = [], frame } = this.#options;
    const { user } = this.#bar.dataset;
    const client = new RealtimeClient({ url, topics: [...topics], taskIds: [...taskIds], user });
    this.client = client;
    client.addEventListener("state", ({ detail }) => this.#turned(detail));
    client.addEventListener("snapshot", () => this.#note(client.tasks.keys()));
    client.addEventListener("change", ({ detail }) => this.#note([detail]));
    if (frame) client.addEventListener("frame", ({ detail }) => frame(detail));
    client.start();
  }

  #close() {
    this.client?.stop();
    this.client = null;
    this.#changed.clear();
  }

  #turned({ state, reason }) {
    if (!this.on) return;
    this.#reason = reason ?? "";
    if (state === "live") this.updated();
    const was = this.#told;
    this.#told = state;
    this.#show();
    if (was === "live" && state === "reconnecting") this.say("The connection is lost; trying again.");
    if (was && was !== "connecting" && was !== "live" && state === "live") this.say("Live again.");
    if (state === "denied") this.say(`Disconnected. ${this.#reason}`);
    this.#options.state?.(state);
  }

  #note(ids) {
    for (const id of ids) this.#changed.add(id);
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
    if (!this.#changed.size || document.hidden || why) return;
    const ids = this.#changed;
    this.#changed = new Set();
    this.#apply(ids);
    this.updated();
  }

  #tick() {
    this.#flush();
    if (document.hidden) return;
    if (this.live && !this.#hold()) tickAll(document, this.now());
    write(this.#find(".rt-age"), `updated ${length(this.now() - this.#at)} ago`);
  }

  #show() {
    const { state } = this;
    const shown = this.#find(".rt-state");
    shown.dataset.state = state;
    const why = state === "denied" ? this.#reason : "";
    write(shown.querySelector(".rt-state-text"), [WORDS[state] ?? state, why].filter(Boolean).join(". "));
  }
}

/** A browser that keeps nothing still lets the page live. */
function readOff() {
  try {
    return localStorage.getItem(OFF);
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
