// <connection-status>: whether what the page shows is live, in words.

import { make, setAttribute, sign, write } from "./dom.js";
import { getClient } from "./page.js";
import { eachSecond } from "./timing.js";
import { CONNECTION, clock, problemText } from "./words.js";

/**
 * Sets `data-state` and `data-transport`. Says as of when the page is while it is not live, and counts down to
 * the next attempt. `log-in` is the address of a page to log in at: a link to it comes when there is no way back.
 */
export class ConnectionStatus extends HTMLElement {
  #client = null;
  #listening = null;
  #parts = null;
  #liveUntil = null;
  #retryAt = null;
  #rest = () => {};

  connectedCallback() {
    this.#client = getClient();
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client.addEventListener("state", () => this.#draw(), { signal });
    this.#client.addEventListener("frame", () => this.#heard(), { signal });
    if (!this.hasAttribute("role")) this.setAttribute("role", "status");
    this.#parts = { sign: make("span", "rt-state"), wait: make("span", "rt-wait"), detail: make("span", "rt-detail") };
    this.#parts.wait.setAttribute("aria-hidden", "true"); // or each second would be read out
    this.#parts.login = make("a", "rt-log-in");
    this.#parts.login.href = this.getAttribute("log-in") ?? "";
    this.replaceChildren(...Object.values(this.#parts));
    this.#draw();
  }

  disconnectedCallback() {
    this.#rest();
    this.#listening.abort();
  }

  /** An attempt to come back brings frames too: only those that come while live say what is current. */
  #heard() {
    if (this.#client.state === "live") this.#liveUntil = this.#client.now();
  }

  #draw() {
    const { state, reason, code, retryIn, transport } = this.#client.line;
    if (state === "live") this.#heard();
    setAttribute(this, "data-state", state ?? "connecting");
    setAttribute(this, "data-transport", transport);
    sign(this.#parts.sign, CONNECTION[state ?? "connecting"]);
    const old = state !== "live" && this.#liveUntil !== null;
    const asOf = old ? `Shown as of ${clock(this.#liveUntil)}.` : "";
    write(this.#parts.detail, [problemText({ code, message: reason }), asOf].filter(Boolean).join(" "));
    write(this.#parts.login, state === "denied" && this.hasAttribute("log-in") ? "Log in again" : "");
    this.#rest();
    this.#retryAt = retryIn === null ? null : performance.now() + retryIn;
    this.#countDown();
    if (retryIn !== null) this.#rest = eachSecond(() => this.#countDown());
  }

  #countDown() {
    const seconds = this.#retryAt === null ? 0 : Math.round((this.#retryAt - performance.now()) / 1000);
    write(this.#parts.wait, seconds > 0 ? `in ${seconds} s` : "");
  }
}
