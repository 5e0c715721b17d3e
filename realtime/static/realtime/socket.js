// The best transport: a WebSocket. What is watched can change while it is open.

/**
 * A transport carries frames from the server. All three have this shape:
 *
 * - `name`; `adds`: whether more can be subscribed while it is open, with `send`; `timesOut`: whether it
 *   notices silence by itself;
 * - `open(plan)`: `plan()` gives the first subscribe, {topics, task_ids, after?, request_id};
 * - `send(message)`; `check()` asks for a sign of life; `close()`, after which it says nothing more;
 * - it calls `on.frame(frame)` for each frame, and `on.end(code, problem, pause)` once, with a close code and
 *   what else the server said of it: {code, message}.
 */
export class SocketTransport {
  name = "websocket";
  adds = true;
  #urls;
  #credential;
  #on;
  #socket = null;

  constructor({ urls, credential, on }) {
    this.#urls = urls;
    this.#credential = credential;
    this.#on = on;
  }

  open(plan) {
    this.#socket = new WebSocket(this.#urls.socket, this.#credential.protocols);
    this.#socket.onmessage = ({ data }) => this.#receive(JSON.parse(data), plan);
    this.#socket.onclose = ({ code }) => this.#on.end(code);
  }

  #receive(frame, plan) {
    this.#on.frame(frame);
    if (frame.type === "connected") this.send({ action: "subscribe", ...plan() });
    // Only now: the answer says that everything before it has been dealt with.
    if (frame.type === "ping") this.send({ action: "pong", t: frame.t });
  }

  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Ask for a sign of life. */
  check() {
    this.send({ action: "ping" });
  }

  close() {
    if (this.#socket === null) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }
}
