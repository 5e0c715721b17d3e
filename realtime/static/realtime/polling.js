// The last transport, which gets through wherever a page does: asking again and again.

import { closeCode, missing } from "./answers.js";

/** See `SocketTransport` for what a transport does. */
export class PollingTransport {
  name = "polling";
  adds = false;
  timesOut = true; // each request has a deadline of its own
  #urls;
  #credential;
  #timing;
  #on;
  #plan = null;
  #after = null;
  #waiting = null;
  #acknowledged = false;
  #stopped = new AbortController();

  constructor({ urls, credential, timing, on }) {
    this.#urls = urls;
    this.#credential = credential;
    this.#timing = timing;
    this.#on = on;
  }

  open(plan) {
    this.#plan = plan();
    this.#after = this.#plan.after ?? null;
    this.#poll();
  }

  async #poll() {
    try {
      const response = await fetch(this.#url(), { headers: this.#credential.headers, signal: this.#signal() });
      const answer = await response.json();
      if (this.#stopped.signal.aborted) return;
      if (!response.ok) return await this.#refused(response, answer);
      this.#credential.accepted();
      this.#take(answer);
      if (!this.#stopped.signal.aborted) this.#wait(answer.more ? 0 : this.#pause());
    } catch {
      this.#end(1006);
    }
  }

  #url() {
    const url = new URL(this.#urls.polling);
    for (const topic of this.#plan.topics) url.searchParams.append("topic", topic);
    for (const id of this.#plan.task_ids) url.searchParams.append("task_id", id);
    if (this.#after !== null) url.searchParams.set("after", this.#after);
    return url;
  }

  #signal() {
    return AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(this.#timing.connect)]);
  }

  /** Hand on what a connection would have said: the events, and that they are complete up to the position. */
  #take({ events, position, more, truncated, reset }) {
    const first = this.#after === null || reset !== null;
    if (reset !== null) this.#frame({ type: "reset", reason: reset });
    for (const frame of events) this.#frame(frame);
    if (this.#acknowledged && !first) this.#frame({ type: "heartbeat", id: position });
    else if (!more || first) this.#acknowledge(position, first, truncated);
    this.#after = position;
  }

  #acknowledge(position, fresh, truncated) {
    const { request_id, topics, task_ids, after } = this.#plan;
    this.#acknowledged = true;
    this.#frame({
      ...{ type: "subscribed", id: position, position, request_id, topics, task_ids },
      ...(after !== undefined && { recovered: !fresh }),
      ...(fresh && { truncated }),
    });
  }

  #frame(frame) {
    if (!this.#stopped.signal.aborted) this.#on.frame({ timestamp: new Date().toISOString(), ...frame });
  }

  async #refused(response, problem) {
    let gone = false;
    if (response.status === 404 || response.status === 400) {
      const after = this.#after ?? undefined;
      for (const error of await missing(this.#urls, { ...this.#plan, after }, this.#credential.headers)) {
        gone ||= error.topic !== undefined;
        this.#frame(error);
      }
    }
    // Without that topic it may go on.
    if (gone) return this.#end(1006);
    const wait = Number(response.headers.get("Retry-After")) * 1000;
    this.#end(closeCode(response.status), problem, wait || undefined);
  }

  #pause() {
    return document.hidden ? this.#timing.pollHidden : this.#timing.poll;
  }

  #wait(pause) {
    this.#waiting = setTimeout(() => {
      this.#waiting = null; // under way
      this.#poll();
    }, pause);
  }

  #end(code, problem, pause) {
    if (this.#stopped.signal.aborted) return;
    this.close();
    this.#on.end(code, problem, pause);
  }

  /** Nothing can be sent. */
  send() {}

  /** Ask now. */
  check() {
    if (this.#waiting === null) return;
    clearTimeout(this.#waiting);
    this.#wait(0);
  }

  close() {
    clearTimeout(this.#waiting);
    this.#stopped.abort();
  }
}
