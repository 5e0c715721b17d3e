// One connection for all tabs. A lock says which tab holds it (the leader); a channel carries what every
// frame was, and what each tab wants. Each tab holds a lock of its own: when that falls, the tab is gone.

import { Exchange } from "./exchange.js";

/** Milliseconds of silence that any leader is given: it may wait before a retry, and say nothing meanwhile. */
const PATIENCE = 90_000;

/** A client by itself, with a connection of its own; the same interface as `Tabs`. */
export class Alone {
  #exchange = null;
  #receive;
  #report;
  #options;

  constructor({ receive, report, options }) {
    this.#receive = receive;
    this.#report = report;
    this.#options = options;
  }

  start() {
    this.#exchange = new Exchange((message) => this.#receive(message, true), this.#options);
    this.#exchange.start([{ tab: "alone", ...this.#report() }]);
  }

  stop() {
    this.#exchange?.stop();
  }

  /** What is wanted has changed. */
  changed() {
    this.#exchange?.want({ tab: "alone", ...this.#report() });
  }
}

export class Tabs {
  #name;
  #receive;
  #report;
  #options;
  #tab = crypto.randomUUID();
  #channel = null;
  #running = null; // aborted by `stop`
  #exchange = null; // of the leader
  #reports = null; // of the tabs, while the leader gathers them
  #term = 0; // when the present leader began; what an earlier one still says is not heard
  #joined = false; // whether the leader's frames are for us too: from its `begin` or `welcome` on
  #release = () => {}; // lets the locks go
  #silence = null;
  #heartbeat = 0; // seconds between two signs of life of the server, which the leader relays

  /** Whether this browser can. */
  static get possible() {
    return "BroadcastChannel" in globalThis && globalThis.navigator?.locks !== undefined;
  }

  /** @param {string} name the same for all tabs that share
   *  @param {(message: object) => void} receive what the connection says to this tab
   *  @param {() => object} report what this tab wants and holds: `Store.report`
   *  @param {object} options of the connection */
  constructor({ name, receive, report, options }) {
    this.#name = name;
    this.#receive = receive;
    this.#report = report;
    this.#options = options;
  }

  start() {
    this.#running = new AbortController();
    const released = new Promise((release) => (this.#release = release));
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#lock(`tab ${this.#tab}`, {}, () => {
      this.changed();
      return released;
    });
    this.#stand();
    this.#watchSilence();
    // Somebody looks at this tab: the connection may be that of one that nobody looks at.
    const seen = () => document.hidden || this.#exchange !== null || this.#say({ kind: "wake" });
    document.addEventListener("visibilitychange", seen, { signal: this.#running.signal });
  }

  stop() {
    if (this.#running === null) return;
    this.#running.abort();
    clearTimeout(this.#silence);
    this.#resign();
    this.#channel.close();
    this.#channel = null; // what still runs speaks to nobody: a closed channel throws
    this.#release();
    this.#running = null;
    this.#joined = false;
    this.#tab = crypto.randomUUID(); // whoever comes back comes back as another
  }

  /** What is wanted has changed. */
  changed() {
    if (this.#exchange !== null) this.#exchange.want(this.#ours);
    else this.#say({ kind: "want", report: this.#ours });
  }

  get #ours() {
    return { tab: this.#tab, ...this.#report() };
  }

  #say(message) {
    this.#channel?.postMessage(message);
  }

  #lock(what, options, holding) {
    const { signal } = this.#running;
    const asked = options.steal ? options : { ...options, signal };
    const held = navigator.locks.request(`${this.#name} ${what}`, asked, () => (signal.aborted ? null : holding()));
    return held.catch((error) => {
      if (error.name !== "AbortError") throw error;
      return "lost";
    });
  }

  /** Lead as soon as nobody else does. A leader that another has taken for dead stands again, at the end. */
  async #stand(options = {}) {
    const { signal } = this.#running;
    const how = await this.#lock("leader", options, () => this.#lead(signal));
    if (how !== "lost" || signal.aborted) return;
    this.#resign();
    this.#stand();
  }

  #resign() {
    this.#exchange?.stop();
    this.#exchange = this.#reports = null;
  }

  async #lead(signal) {
    this.#term = Math.max(Date.now(), this.#term + 1);
    this.#joined = false;
    clearTimeout(this.#silence);
    const exchange = new Exchange((message) => this.#relay(message, exchange), this.#options);
    const term = this.#term;
    await this.#gather();
    if (signal.aborted || this.#term !== term) return; // or taken for dead meanwhile
    this.#exchange = exchange;
    for (const tab of this.#reports.keys()) this.#outlive(tab, signal);
    exchange.start([this.#ours, ...this.#reports.values()]);
    this.#reports = null;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }

  /** Ask the others what they want and have seen. One that stays silent joins afresh when it speaks. */
  async #gather() {
    this.#reports = new Map();
    const { held } = await navigator.locks.query();
    const prefix = `${this.#name} tab `;
    const tabs = held.map(({ name }) => name).filter((name) => name.startsWith(prefix));
    const others = tabs.map((name) => name.slice(prefix.length)).filter((tab) => tab !== this.#tab);
    this.#say({ kind: "lead", term: this.#term });
    const deadline = performance.now() + this.#options.timing.reports;
    const silent = () => others.some((tab) => this.#reports !== null && !this.#reports.has(tab));
    while (silent() && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Hold on until the tab is gone, however it went. */
  #outlive(tab, signal) {
    const gone = () => this.#exchange?.leave(tab);
    navigator.locks.request(`${this.#name} tab ${tab}`, { signal, mode: "shared" }, gone).catch(() => {});
  }

  /** To every tab, this one included, unless another leads by now. */
  #relay(message, exchange) {
    if (this.#exchange !== exchange) return;
    this.#say({ ...message, term: this.#term });
    this.#take(message);
  }

  #hear(message) {
    if (message.kind === "want") return this.#wanted(message.report);
    if (message.kind === "wake") return this.#exchange?.wake();
    if (message.term < this.#term) return;
    if (message.kind === "lead") this.#follow(message.term);
    else if (message.term === this.#term || this.#forUs(message)) this.#take(message);
    this.#term = message.term;
    this.#heartbeat = message.frame?.heartbeat_interval ?? message.hello?.heartbeat ?? this.#heartbeat;
    this.#watchSilence();
  }

  #wanted(report) {
    if (this.#reports !== null) this.#reports.set(report.tab, report);
    else if (this.#exchange !== null) {
      if (!this.#exchange.has(report.tab)) this.#outlive(report.tab, this.#running.signal);
      this.#exchange.want(report);
    }
  }

  /** A new leader asks: whatever comes from now on comes from it. */
  #follow(term) {
    this.#resign(); // our lock is lost, if it was ours; the news of that may come later
    this.#term = term;
    this.#joined = false;
    this.changed();
  }

  #forUs({ kind, tab }) {
    return (kind === "begin" || kind === "welcome") && tab === this.#tab;
  }

  #take(message) {
    if (message.tab !== undefined && message.tab !== this.#tab) return;
    if (this.#forUs(message)) this.#joined = true;
    if (message.kind === "frame" && !this.#joined && message.frame.type !== "connected") return;
    this.#receive(message, this.#exchange !== null);
  }

  /** A leader that says nothing at all hangs: take its place, after a while that differs from tab to tab. */
  #watchSilence() {
    clearTimeout(this.#silence);
    if (this.#exchange !== null) return;
    const least = this.#options.timing.leader ?? Math.max(PATIENCE, 3_000 * this.#heartbeat);
    const patience = least * (1 + Math.random() / 3);
    this.#silence = setTimeout(() => this.#stand({ steal: true }), patience);
  }
}
