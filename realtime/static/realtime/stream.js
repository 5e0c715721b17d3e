// The second transport, where no WebSocket gets through: an event stream. Its URL is its one subscribe.

import { closeCode, missing } from "./answers.js";

const TYPES = [
  ...["connected", "task_update", "task_deleted", "task_removed", "task_log", "broadcast", "broadcast_retracted"],
  ...["topic_event", "subscribed", "unsubscribed", "done", "reset", "heartbeat", "reconnect"],
];

/** See `SocketTransport` for what a transport does. */
export class StreamTransport {
  name = "sse";
  adds = false;
  #urls;
  #credential;
  #on;
  #source = null;
  #closed = false;
  #error = null; // the last one that the server sent
  #connected = false;

  constructor({ urls, credential, on }) {
    this.#urls = urls;
    this.#credential = credential;
    this.#on = on;
  }

  async open(plan) {
    const url = new URL(this.#urls.stream);
    const asked = plan();
    for (const topic of asked.topics) url.searchParams.append("topic", topic);
    for (const id of asked.task_ids) url.searchParams.append("task_id", id);
    if (asked.after !== undefined) url.searchParams.set("last_event_id", asked.after);
    try {
      if (!this.#credential.isCookie) url.searchParams.set("ticket", await this.#ticket());
    } catch (error) {
      this.#end(error.closeCode ?? 1006, error.problem);
      return;
    }
    if (this.#closed) return;
    this.#source = new EventSource(url, { withCredentials: this.#credential.isCookie });
    for (const type of TYPES) this.#source.addEventListener(type, ({ data }) => this.#receive(JSON.parse(data)));
    // The server's own `error` has data; the browser's says that the line is cut.
    this.#source.addEventListener("error", ({ data }) => (data ? this.#refused(JSON.parse(data)) : this.#cut(asked)));
  }

  /** A ticket opens one stream: one that is cut comes back with another, so `EventSource` must not by itself. */
  async #ticket() {
    const response = await fetch(this.#urls.ticket, { method: "POST", headers: this.#credential.headers });
    const answer = await response.json();
    if (!response.ok) {
      throw Object.assign(new Error(answer.message), { problem: answer, closeCode: closeCode(response.status) });
    }
    return answer.ticket;
  }

  #receive(frame) {
    this.#connected = true;
    this.#on.frame(frame);
  }

  #refused(frame) {
    this.#error = frame;
    this.#on.frame(frame);
  }

  async #cut(asked) {
    this.#source?.close();
    if (this.#error !== null) return this.#end(closeCode(this.#error.code), this.#error);
    if (!this.#connected) {
      // The status of a refusal is hidden from us. It may be a task or a topic that is not there (any more).
      for (const error of await missing(this.#urls, asked, this.#credential.headers)) {
        if (this.#closed) return;
        this.#on.frame(error);
      }
    }
    this.#end(1006);
  }

  #end(code, problem) {
    if (this.#closed) return;
    this.close();
    this.#on.end(code, problem);
  }

  /** Nothing can be sent; its heartbeat is its sign of life. */
  send() {}

  check() {}

  close() {
    this.#closed = true;
    this.#source?.close();
  }
}
