// <connection-status>: whether what the page shows is live, in words.

import { make, setAttribute, sign, write } from "./dom.js";
import { getClient } from "./page.js";
import { CONNECTION } from "./words.js";

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Sets `data-state` and `data-transport`. Says as of when the page is, while it is not live. */
export class ConnectionStatus extends HTMLElement {
  #client = null;
  #listening = null;
  #sign = null;
  #detail = null;
  #liveUntil = null;

  connectedCallback() {
    this.#client = getClient();
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client.addEventListener("state", () => this.#draw(), { signal });
    this.#client.addEventListener("frame", () => this.#heard(), { signal });
    if (!this.hasAttribute("role")) this.setAttribute("role", "status");
    this.#sign = make("span", "rt-state");
    this.#detail = make("span", "rt-detail");
    this.replaceChildren(this.#sign, this.#detail);
    this.#draw();
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  /** An attempt to come back brings frames too: only those that come while live say what is current. */
  #heard() {
    if (this.#client.state === "live") this.#liveUntil = this.#client.now();
  }

  #draw() {
    const { state, reason, transport } = this.#client.line;
    if (state === "live") this.#heard();
    setAttribute(this, "data-state", state ?? "connecting");
    setAttribute(this, "data-transport", transport);
    sign(this.#sign, CONNECTION[state ?? "connecting"]);
    const old = state !== "live" && this.#liveUntil !== null;
    const asOf = old ? `Shown as of ${clock.format(this.#liveUntil)}.` : "";
    write(this.#detail, [reason, asOf].filter(Boolean).join(" "));
  }
}
