// The credential of a client: an access token, renewed in time, or else the browser's session cookie.

import { LONGEST_TIMER } from "./timing.js";

const RENEW_EARLY_MS = 60_000;

export class Credential {
  #token;
  #renew;
  #refused = false;
  #timer = null;

  /** @param {string} [token] access token
   *  @param {() => Promise<string|null>} [renew] see `RealtimeClient` */
  constructor(token, renew) {
    this.#token = token;
    this.#renew = renew;
  }

  /** Whether it is the browser's cookie, the same for all tabs. */
  get isCookie() {
    return !this.#token && !this.#renew;
  }

  /** What a WebSocket names: the one way to send a token with it that no log writes down. */
  get protocols() {
    return this.#token ? ["bearer", this.#token] : [];
  }

  /** Headers of a request; a cookie is sent by the browser. */
  get headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  accepted() {
    this.#refused = false;
  }

  /** The server has refused it; tell whether to come back. Once more: it may be the rights only that have changed. */
  refused() {
    const again = !this.#refused;
    this.#refused = true;
    return again;
  }

  /** Before coming back, replace a token that was refused. Tells whether there is something to come with;
   *  throws when it could not ask for a new token. */
  async ready() {
    if (!this.#refused || !this.#renew) return true;
    const token = await this.#renew();
    if (token === null) return false;
    this.#token = token;
    this.#refused = false;
    return true;
  }

  /** Renew a token with so many milliseconds left before it ends; if that fails, it will be refused. */
  renewBefore(left, send) {
    this.rest();
    if (!this.#renew) return;
    const delay = Math.max(left - RENEW_EARLY_MS, left / 2);
    this.#timer = setTimeout(() => this.#exchange(send), Math.min(delay, LONGEST_TIMER));
  }

  async #exchange(send) {
    const token = await this.#renew().catch(() => null);
    if (token === null) return;
    this.#token = token;
    send(token);
  }

  /** Do nothing by itself any more. */
  rest() {
    clearTimeout(this.#timer);
  }
}
