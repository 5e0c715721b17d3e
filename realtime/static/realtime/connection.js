// One connection to the server that never gives up: transports from the best to the one that always gets
// through, retries with jitter, the server's table of close codes, and a credential that is kept fresh.

import { reachable } from "./answers.js";
import { PollingTransport } from "./polling.js";
import { SocketTransport } from "./socket.js";
import { StreamTransport } from "./stream.js";
import { jittered } from "./timing.js";

/** What to do after a close, by the server's table of codes; after any other, back off and retry. */
const AFTER_CLOSE = { 1000: "stop", 4400: "stop", 4401: "credential", 4403: "stop", 4410: "at once", 4413: "stop" };
const TRANSPORTS = [SocketTransport, StreamTransport, PollingTransport];
/** So often a transport may fail before the next is tried. */
const FAILURES = 2;

export class Connection {
  #options;
  #credential;
  #timing;
  #on;
  #transport = null;
  #trial = null; // a better transport that is being tried
  #level = 0;
  #failures = 0;
  #looking = null; // whether the last failure was the transport's
  #trials = 0;
  #state = null;
  #wasLive;
  #problem = {}; // what the server said of it: {code, message}
  #attempt = 0;
  #afterMs = null; // the pause that a server about to restart asked for
  #heard = false; // a frame of the present transport
  #silenceLimit;
  #timers = {};
  #listening = new AbortController();

  /**
   * @param {object} options `urls`, `credential`, `timing`, `wasLive`, and
   *   `on`: {plan(adds), frame(frame), state({state, reason, code, retryIn, transport})}
   */
  constructor(options) {
    this.#options = options;
    this.#credential = options.credential;
    this.#timing = options.timing;
    this.#wasLive = options.wasLive;
    this.#on = options.on;
  }

  /** Whether more can be subscribed without opening another connection. */
  get adds() {
    return this.#transport?.adds ?? false;
  }

  start() {
    const { signal } = this.#listening;
    window.addEventListener("online", () => this.wake(true), { signal });
    window.addEventListener("offline", () => this.#doubt(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.wake(), { signal });
    this.#setState(this.#waiting);
    this.#open();
  }

  stop() {
    this.#listening.abort();
    this.#detach();
    clearTimeout(this.#timers.retry);
    this.#state = null;
  }

  send(message) {
    this.#transport?.send(message);
  }

  /** Say whether all that was asked for before has been served. */
  setCurrent(current) {
    if (current) {
      this.#attempt = 0;
      this.#wasLive = true;
      this.#problem = {};
      this.#tryBetterLater();
    }
    this.#setState(current ? "live" : "catching-up");
  }

  /** There is reason to hope: try again at once; or, where all seems well, see whether it is. */
  wake(online = false) {
    if (this.#transport !== null) {
      this.#doubt();
      if (online) this.#tryBetterLater((this.#trials = 0));
    } else if (this.#timers.retry) {
      this.#attempt = 0;
      clearTimeout(this.#timers.retry);
      this.#reopen();
    }
  }

  /** Ask for a sign of life; without one the line is dead. */
  #doubt() {
    if (this.#transport === null) return this.#state === "denied" || this.#setState(this.#waiting);
    this.#transport.check();
    if (this.adds) this.#watchSilence(Math.min(this.#timing.check, this.#silenceLimit));
  }

  /** Open the connection anew, with another plan. */
  replace() {
    this.#detach();
    this.#setState("catching-up");
    this.#open();
  }

  /** What was asked for cannot be served just now: come back. */
  fail(problem) {
    this.#lost(4500, problem);
  }

  /** What was asked for is refused; asked again, it would be refused again. */
  refuse(problem) {
    this.#problem = problem ?? this.#problem;
    this.#detach();
    this.#setState("denied");
  }

  get #waiting() {
    if (!navigator.onLine) return "offline";
    return this.#wasLive ? "reconnecting" : "connecting";
  }

  #create(level, frame, end) {
    const { urls } = this.#options;
    const on = { frame, end };
    return new TRANSPORTS[level]({ urls, credential: this.#credential, timing: this.#timing, on });
  }

  #open() {
    this.#problem = {};
    this.#heard = false;
    this.#silenceLimit = this.#timing.connect;
    const transport = this.#create(
      this.#level,
      (frame) => this.#receive(frame),
      (...how) => this.#lost(...how),
    );
    this.#transport = transport;
    this.#watchSilence();
    transport.open(() => this.#on.plan(transport.adds));
  }

  #receive(frame) {
    if (this.#heard) this.#failures = 0;
    this.#heard = true;
    if (frame.type === "connected") this.#connected(frame);
    if (frame.type === "authenticated") this.#renewInTime(frame);
    if (frame.type === "reconnect") this.#afterMs = frame.after_ms;
    if (frame.type === "error") this.#problem = frame;
    this.#watchSilence();
    this.#on.frame(frame);
  }

  #connected(frame) {
    this.#credential.accepted();
    this.#silenceLimit = frame.heartbeat_interval * 2500;
    this.#renewInTime(frame);
    this.#setState("catching-up");
  }

  #renewInTime({ expires_at: end, timestamp }) {
    if (!end) return;
    const left = Date.parse(end) - Date.parse(timestamp);
    this.#credential.renewBefore(left, (token) => this.send({ action: "authenticate", token }));
  }

  #lost(code, problem, pause, silent = false) {
    this.#detach();
    this.#problem = problem ?? this.#problem;
    if (code >= 4000) this.#failures = 0; // who is refused has been heard
    // One that had been heard was cut off like anything else; one that falls silent may be held back.
    else if (!this.#heard || silent) this.#looking = this.#judge();
    const rule = AFTER_CLOSE[code];
    if (rule === "stop") return this.refuse();
    if (rule === "credential" && !this.#credential.refused()) return this.refuse();
    const atOnce = rule === "at once" && this.#attempt === 0 ? 0 : null;
    this.#retry(atOnce ?? pause);
  }

  /** Let go of the transport. */
  #detach() {
    clearTimeout(this.#timers.silence);
    clearTimeout(this.#timers.better);
    clearTimeout(this.#timers.trial);
    this.#credential.rest();
    this.#trial?.close();
    this.#transport?.close();
    this.#trial = this.#transport = null;
  }

  #retry(wanted) {
    const pause = this.#afterMs ?? wanted ?? jittered(this.#attempt, this.#timing);
    this.#attempt += 1;
    this.#afterMs = null;
    this.#setState(this.#waiting, pause);
    clearTimeout(this.#timers.retry);
    this.#timers.retry = setTimeout(() => this.#reopen(), pause);
  }

  async #reopen() {
    this.#timers.retry = null;
    let ready;
    try {
      ready = await this.#credential.ready();
    } catch {
      if (this.#state !== null) this.#retry();
      return;
    }
    await this.#looking;
    if (this.#failures >= FAILURES && this.#level + 1 < TRANSPORTS.length) {
      this.#level += 1;
      this.#failures = 0;
    }
    if (this.#state === null || this.#transport !== null) return; // stopped, or replaced, meanwhile
    if (!ready) return this.refuse();
    this.#open();
  }

  /** It failed: was it the transport that did not get through, or the whole site? Only the first counts. */
  async #judge() {
    if (await reachable(this.#options.urls, this.#timing.check)) this.#failures += 1;
  }

  /** From time to time, see whether a better transport gets through by now. */
  #tryBetterLater(pause = Math.min(this.#timing.betterLimit, this.#timing.better * 2 ** this.#trials)) {
    clearTimeout(this.#timers.better);
    if (this.#level > 0) this.#timers.better = setTimeout(() => this.#tryBetter(), pause);
  }

  /** The present one goes on until the better one has been heard. */
  #tryBetter() {
    if (this.#trial !== null || this.#transport === null) return;
    const level = this.#trials++ % this.#level;
    const trial = this.#create(
      level,
      ({ type }) => (type === "connected" ? this.#change(level) : this.#dismiss(trial)),
      () => this.#dismiss(trial),
    );
    this.#trial = trial;
    this.#timers.trial = setTimeout(() => this.#dismiss(trial), this.#timing.connect);
    trial.open(() => ({ topics: ["broadcasts"], task_ids: [] }));
  }

  #change(level) {
    this.#level = level;
    this.#failures = 0;
    this.replace();
  }

  #dismiss(trial) {
    trial.close();
    if (this.#trial !== trial) return;
    clearTimeout(this.#timers.trial);
    this.#trial = null;
    this.#tryBetterLater();
  }

  /** A line that is dead says nothing, not even that it is: silence beyond the heartbeat counts as a cut. */
  #watchSilence(limit = this.#silenceLimit) {
    clearTimeout(this.#timers.silence);
    if (this.#transport.timesOut) return;
    this.#timers.silence = setTimeout(() => this.#lost(1006, undefined, undefined, true), limit);
  }

  #setState(state, retryIn = null) {
    this.#state = state;
    const { message: reason = "", code = null } = this.#problem;
    this.#on.state({ state, reason, code, retryIn, transport: this.#transport?.name ?? null });
  }
}
