// The credential of a client: an access token, renewed in time, or else the browser's session cookie.

const RENEW_EARLY_MS = 60_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

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

  /** Put it into the address; a cookie is sent by the browser. */
  addTo(url) {
    if (this.#token) url.searchParams.set("token", this.#token);
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
    this.#timer = setTimeout(() => this.#exchange(send), Math.min(delay, LONGEST_TIMER_MS));
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
