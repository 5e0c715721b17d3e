// A WebSocket client of task events: one cursor, one set of subscriptions, exact resume.
//
// It holds the rows of the tasks it follows, and the broadcasts in their window, and tells of them by events:
//   state      the connection's state changed; `detail` is {state, reason, retryIn}
//   snapshot   all of `tasks` is new
//   change     one task of `tasks` is new, changed or gone; `detail` is its id
//   broadcasts `broadcasts` has changed
//   frame      whatever the server sent, after it was applied; `detail` is the frame
//
// States: connecting, live, reconnecting (what is shown may be old), denied (for good).

import { Credential } from "./credential.js";
import { Notices } from "./notices.js";

/** What to do after a close, by the server's table of codes. After any other, 4429, 4500 and 4503 among
 *  them, back off and retry; where the server said `reconnect`, after the pause that it asked for. */
const AFTER_CLOSE = { 1000: "stop", 4400: "stop", 4401: "credential", 4403: "stop", 4413: "stop" };
/** Errors that a later subscribe need not meet. */
const PASSING = new Set(["unavailable", "rate_limited", "too_many_pending"]);

const CONNECT_MS = 15_000;
const BACK_OFF_MS = 1_000;
const BACK_OFF_LIMIT_MS = 30_000;

export class RealtimeClient extends EventTarget {
  /** The id of the user that the server knows us as; null until connected. */
  userId = null;

  #url;
  #credential;
  #topics;
  #taskIds;
  #socket = null;
  #state = null;
  #reason = "";
  #tasks = new Map();
  #incoming = null; // the rows of a snapshot until it is complete
  #cursor = null; // the highest id seen; null: nothing to resume from
  #wasLive = false;
  #attempt = 0;
  #pause = null; // the milliseconds that a server about to restart asked for
  #silenceLimit = CONNECT_MS;
  #clockOffset = 0;
  #timers = {};
  #notices = new Notices(
    () => this.now(),
    () => this.dispatchEvent(new CustomEvent("broadcasts")),
  );
  #handlers = {
    connected: (frame) => this.#connected(frame),
    task_update: (frame) => this.#taskUpdate(frame),
    task_deleted: (frame) => this.#taskGone(frame),
    task_removed: (frame) => this.#taskGone(frame),
    broadcast: (frame) => this.#notices.add(frame),
    broadcast_retracted: (frame) => this.#notices.remove(frame.broadcast_id),
    subscribed: (frame) => this.#subscribed(frame),
    unsubscribed: (frame) => this.#unsubscribed(frame),
    done: (frame) => this.#done(frame),
    reset: (frame) => this.#reset(frame),
    ping: (frame) => this.#ping(frame),
    reconnect: (frame) => this.#reconnect(frame),
    authenticated: (frame) => this.#renewInTime(frame),
    error: (frame) => this.#error(frame),
  };

  /**
   * Without `token` and `renew` the browser's session cookie is the credential.
   *
   * @param {string|URL} url of the socket, ws: or wss:, without the token
   * @param {string} [token] access token
   * @param {() => Promise<string|null>} [renew] gives a new token, or null when there is none to be
   *   had; throws when it could not ask
   */
  constructor({ url, token, renew, topics = ["mine"], taskIds = [] }) {
    super();
    this.#url = url;
    this.#credential = new Credential(token, renew);
    this.#topics = topics;
    this.#taskIds = new Set(taskIds);
  }

  /** The tasks by id, as the last events left them. */
  get tasks() {
    return this.#tasks;
  }

  /** The `broadcast` frames in their window, the newest first. */
  get broadcasts() {
    return this.#notices.newestFirst;
  }

  get state() {
    return this.#state;
  }

  /** The server's clock, in milliseconds since 1970; ours may be wrong. */
  now() {
    return Date.now() + this.#clockOffset;
  }

  start() {
    this.#setState("connecting");
    this.#open();
  }

  stop() {
    this.#detach();
    clearTimeout(this.#timers.retry);
    this.#notices.stop();
    this.#setState(null);
  }

  #open() {
    const url = new URL(this.#url);
    this.#credential.addTo(url);
    this.#silenceLimit = CONNECT_MS;
    this.#reason = "";
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    this.#socket.onclose = ({ code }) => this.#lost(code);
    this.#watchSilence();
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #receive(frame) {
    this.#watchSilence();
    if (frame.id != null) this.#cursor = Math.max(frame.id, this.#cursor ?? frame.id);
    this.#handlers[frame.type]?.(frame);
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  #connected(frame) {
    this.#credential.accepted();
    if (this.userId !== null && this.userId !== frame.user_id) this.#forget();
    this.userId = frame.user_id;
    this.#silenceLimit = frame.heartbeat_interval * 2500;
    this.#clockOffset = Date.parse(frame.timestamp) - Date.now();
    this.#renewInTime(frame);
    this.#subscribe();
  }

  /** Resume everything after the cursor; without one, start afresh: what we held is replaced. */
  #subscribe() {
    if (this.#cursor === null) this.#startAfresh();
    this.#send({
      action: "subscribe",
      request_id: "subscribe",
      topics: ["broadcasts", ...this.#topics], // never empty, even when every task is done
      task_ids: [...this.#taskIds],
      ...(this.#cursor !== null && { after: this.#cursor }),
    });
  }

  #startAfresh() {
    this.#incoming = new Map();
    this.#notices.startAfresh();
  }

  /** Somebody else has logged in: nothing of the one before is shown to him. */
  #forget() {
    this.#cursor = null;
    this.#tasks = new Map();
    this.#notices.clear();
    this.dispatchEvent(new CustomEvent("snapshot"));
  }

  #taskUpdate({ task_id: id, data }) {
    const rows = this.#incoming ?? this.#tasks;
    if (rows.get(id)?.version > data.version) return;
    rows.set(id, data);
    if (rows === this.#tasks) this.#changed(id);
  }

  #taskGone({ task_id: id }) {
    this.#taskIds.delete(id);
    this.#incoming?.delete(id);
    if (this.#tasks.delete(id)) this.#changed(id);
  }

  #subscribed() {
    if (this.#incoming !== null) {
      this.#tasks = this.#incoming;
      this.#incoming = null;
      this.dispatchEvent(new CustomEvent("snapshot"));
      this.#notices.complete();
    }
    this.#attempt = 0;
    this.#wasLive = true;
    this.#setState("live");
  }

  #unsubscribed({ task_ids: ids = [] }) {
    for (const id of ids) this.#taskGone({ task_id: id });
  }

  /** The final state of a task has come: its row stays, its subscription is over. */
  #done({ task_id: id }) {
    this.#taskIds.delete(id);
  }

  /** The cursor is gone; fresh snapshots follow. Until they are complete the old rows stay, as old. */
  #reset() {
    this.#cursor = null;
    this.#startAfresh();
    this.#setState("reconnecting");
  }

  #ping({ t, timestamp }) {
    this.#clockOffset = Date.parse(timestamp) - Date.now();
    this.#send({ action: "pong", t });
  }

  #reconnect({ after_ms: pause }) {
    this.#pause = pause;
  }

  #error({ code, message, task_id: id, request_id: request }) {
    this.#reason = message;
    if (code === "not_found") return this.#taskGone({ task_id: id });
    if (request !== "subscribe") return;
    if (PASSING.has(code)) return this.#lost(4500);
    this.#refuse(); // asked again, it would be refused again
  }

  #lost(code) {
    this.#detach();
    const rule = AFTER_CLOSE[code];
    if (rule === "stop") return this.#refuse();
    if (rule === "credential" && !this.#credential.refused()) return this.#refuse();
    this.#retry();
  }

  /** Let go of the socket. A snapshot that was cut off is forgotten. */
  #detach() {
    clearTimeout(this.#timers.silence);
    this.#credential.rest();
    this.#incoming = null;
    this.#notices.cut();
    if (this.#socket === null) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #refuse() {
    this.#detach();
    this.#setState("denied");
  }

  /** Try again after a random part of a pause that doubles: clients cut together come back apart. */
  #retry() {
    const limit = Math.min(BACK_OFF_LIMIT_MS, BACK_OFF_MS * 2 ** this.#attempt++);
    const pause = this.#pause ?? Math.random() * limit;
    this.#pause = null;
    this.#setState(this.#wasLive ? "reconnecting" : "connecting", pause);
    this.#timers.retry = setTimeout(() => this.#reopen(), pause);
  }

  async #reopen() {
    let ready;
    try {
      ready = await this.#credential.ready();
    } catch {
      if (this.#state !== null) this.#retry();
      return;
    }
    if (this.#state === null) return; // stopped meanwhile
    if (!ready) return this.#refuse();
    this.#open();
  }

  #renewInTime({ expires_at: end, timestamp }) {
    if (!end) return;
    const left = Date.parse(end) - Date.parse(timestamp);
    this.#credential.renewBefore(left, (token) => this.#send({ action: "authenticate", token }));
  }

  /** A line that is dead says nothing, not even that it is: silence beyond the heartbeat counts as a cut. */
  #watchSilence() {
    clearTimeout(this.#timers.silence);
    this.#timers.silence = setTimeout(() => this.#lost(1006), this.#silenceLimit);
  }

  #changed(id) {
    this.dispatchEvent(new CustomEvent("change", { detail: id }));
  }

  #setState(state, retryIn = null) {
    this.#state = state;
    if (state === "live") this.#reason = "";
    this.dispatchEvent(new CustomEvent("state", { detail: { state, reason: this.#reason, retryIn } }));
  }
}
