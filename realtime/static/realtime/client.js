// A WebSocket client of task events: one cursor, one set of subscriptions, exact resume.
//
// It holds the rows of the tasks it follows and tells of them by events:
//   state     the connection's state changed; `detail` is {state, reason, retryIn}
//   snapshot  all of `tasks` is new
//   change    one task of `tasks` is new, changed or gone; `detail` is its id
//   frame     whatever the server sent, after it was applied; `detail` is the frame
//
// States: connecting, live, reconnecting (what is shown may be old), denied (for good).

/** What to do after a close, by the server's table of codes; after any other, back off and retry. */
const AFTER_CLOSE = { 1000: "stop", 4400: "stop", 4401: "renew", 4403: "stop", 4413: "stop" };

const CONNECT_MS = 15_000;
const BACK_OFF_MS = 1_000;
const BACK_OFF_LIMIT_MS = 30_000;
const RENEW_EARLY_MS = 60_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class RealtimeClient extends EventTarget {
  /** The id of the user that the server knows us as; null until connected. */
  userId = null;

  #url;
  #token;
  #renew;
  #topics;
  #taskIds;
  #socket = null;
  #state = null;
  #reason = "";
  #tasks = new Map();
  #incoming = null; // the rows of a snapshot until it is complete
  #cursor = null; // the highest id seen; null: nothing to resume from
  #wasLive = false;
  #tokenExpired = false;
  #attempt = 0;
  #pause = null; // the milliseconds that a server about to restart asked for
  #silenceLimit = CONNECT_MS;
  #clockOffset = 0;
  #timers = {};
  #handlers = {
    connected: (frame) => this.#connected(frame),
    task_update: (frame) => this.#taskUpdate(frame),
    task_deleted: (frame) => this.#taskGone(frame),
    task_removed: (frame) => this.#taskGone(frame),
    subscribed: (frame) => this.#subscribed(frame),
    unsubscribed: (frame) => this.#unsubscribed(frame),
    done: (frame) => this.#done(frame),
    reset: (frame) => this.#reset(frame),
    ping: (frame) => this.#ping(frame),
    reconnect: (frame) => this.#reconnect(frame),
    authenticated: (frame) => this.#scheduleRenewal(frame),
    error: (frame) => this.#error(frame),
  };

  /**
   * @param {string|URL} url of the socket, ws: or wss:, without the token
   * @param {string} token access token
   * @param {() => Promise<string|null>} renew gives a new token, or null when there is none to be
   *   had; throws when it could not ask
   */
  constructor({ url, token, renew, topics = ["mine"], taskIds = [] }) {
    super();
    this.#url = url;
    this.#token = token;
    this.#renew = renew;
    this.#topics = topics;
    this.#taskIds = new Set(taskIds);
  }

  /** The tasks by id, as the last events left them. */
  get tasks() {
    return this.#tasks;
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
    this.#setState(null);
  }

  #open() {
    const url = new URL(this.#url);
    url.searchParams.set("token", this.#token);
    this.#silenceLimit = CONNECT_MS;
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
    this.userId = frame.user_id;
    this.#silenceLimit = frame.heartbeat_interval * 2500;
    this.#clockOffset = Date.parse(frame.timestamp) - Date.now();
    this.#scheduleRenewal(frame);
    this.#subscribe();
  }

  /** Resume everything after the cursor; without one, start afresh: what we held is replaced. */
  #subscribe() {
    if (this.#cursor === null) this.#incoming = new Map();
    this.#send({
      action: "subscribe",
      request_id: "subscribe",
      topics: ["broadcasts", ...this.#topics], // never empty, even when every task is done
      task_ids: [...this.#taskIds],
      ...(this.#cursor !== null && { after: this.#cursor }),
    });
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
    this.#incoming = new Map();
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
    if (request === "subscribe") this.#refuse(); // asked again, it would be refused again
  }

  #lost(code) {
    this.#detach();
    const rule = AFTER_CLOSE[code];
    if (rule === "stop") return this.#refuse();
    if (rule === "renew") this.#tokenExpired = true;
    this.#retry();
  }

  /** Let go of the socket. A snapshot that was cut off is forgotten. */
  #detach() {
    clearTimeout(this.#timers.silence);
    clearTimeout(this.#timers.renewal);
    this.#incoming = null;
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
    if (this.#tokenExpired) {
      let token;
      try {
        token = await this.#renew();
      } catch {
        if (this.#state !== null) this.#retry();
        return;
      }
      if (this.#state === null) return; // stopped meanwhile
      if (token === null) return this.#refuse();
      this.#token = token;
      this.#tokenExpired = false;
    }
    this.#open();
  }

  /** Renew the token before it ends; if that fails, the close with 4401 has its rule. */
  #scheduleRenewal({ expires_at: end, timestamp }) {
    clearTimeout(this.#timers.renewal);
    if (!end) return;
    const left = Date.parse(end) - Date.parse(timestamp);
    const delay = Math.max(left - RENEW_EARLY_MS, left / 2);
    this.#timers.renewal = setTimeout(() => this.#authenticate(), Math.min(delay, LONGEST_TIMER_MS));
  }

  async #authenticate() {
    const token = await this.#renew().catch(() => null);
    if (token === null) return;
    this.#token = token;
    this.#send({ action: "authenticate", token });
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
