// <broadcast-banner>: the broadcasts in their window, until they end, are retracted or dismissed.

import { make, sign, write } from "./dom.js";
import { getClient } from "./page.js";
import { LEVEL } from "./words.js";

const DISMISSED = "realtime-dismissed"; // in the browser's storage: dismissed in one tab is dismissed in all
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function readDismissed() {
  try {
    return new Set(JSON.parse(localStorage.getItem(DISMISSED) ?? "[]"));
  } catch {
    return new Set(); // storage may be forbidden, or hold what others wrote
  }
}

/** One notice as an element; all that a sender wrote is text. */
export function noticeElement({ broadcast_id: id, timestamp, sender, message }, dismiss) {
  const item = make("li", "rt-notice");
  Object.assign(item.dataset, { level: message.level, type: message.type, id });
  const [head, level] = [make("div", "rt-line"), make("span", "rt-level")];
  sign(level, LEVEL[message.level] ?? [message.level, "info"]);
  head.append(level);
  if (message.dismissible) {
    const button = make("button", "rt-dismiss", "Dismiss");
    button.type = "button";
    button.setAttribute("aria-label", `Dismiss: ${message.title || level.textContent}`);
    button.addEventListener("click", () => dismiss(id));
    head.append(button);
  }
  const facts = [sender ? `From ${sender}` : "", clock.format(Date.parse(timestamp))].filter(Boolean).join(" · ");
  const parts = [make("strong", "rt-title"), make("p", "rt-message"), make("p", "rt-facts")];
  [message.title, message.message, facts].forEach((text, place) => write(parts[place], text ?? ""));
  item.append(head, ...parts);
  return item;
}

/** Has the client's notices as its items, the newest first. It is a live region: each that comes is read out. */
export class BroadcastBanner extends HTMLElement {
  #client = null;
  #listening = null;
  #list = null;
  #items = new Map();

  connectedCallback() {
    this.#client = getClient();
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client.addEventListener("broadcasts", () => this.#draw(), { signal });
    window.addEventListener("storage", ({ key }) => key === DISMISSED && this.#draw(), { signal });
    this.setAttribute("aria-live", "polite");
    // Until the first notices have come, those that the server rendered stay; it knows nothing of dismissals.
    const dismissed = readDismissed();
    for (const item of this.querySelectorAll("[data-id]")) if (dismissed.has(item.dataset.id)) item.remove();
    if (this.#client.broadcasts.length > 0) this.#draw();
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  #draw() {
    if (this.#list === null) {
      this.#list = make("ul", "rt-notices");
      this.#list.setAttribute("aria-label", "Notices");
      this.replaceChildren(this.#list);
    }
    const dismissed = readDismissed();
    const shown = this.#client.broadcasts.filter(({ broadcast_id: id }) => !dismissed.has(id));
    const ids = new Set(shown.map(({ broadcast_id: id }) => id));
    for (const [id, item] of this.#items) {
      if (ids.has(id)) continue;
      item.remove();
      this.#items.delete(id);
    }
    shown.forEach((frame, place) => {
      if (this.#items.has(frame.broadcast_id)) return; // put in again, it would be read out again
      const item = noticeElement(frame, (id) => this.#dismiss(id));
      this.#items.set(frame.broadcast_id, item);
      this.#list.insertBefore(item, this.#list.children[place] ?? null);
    });
    this.#list.hidden = shown.length === 0;
  }

  #dismiss(id) {
    // Only those that are still about are worth remembering.
    const dismissed = readDismissed();
    const still = this.#client.broadcasts.map(({ broadcast_id: one }) => one).filter((one) => dismissed.has(one));
    try {
      localStorage.setItem(DISMISSED, JSON.stringify([...still, id]));
    } catch {
      this.#items.get(id)?.remove(); // for as long as this page lives
      return;
    }
    this.#draw();
    const next = this.#list.querySelector("button") ?? document.querySelector("main, h1");
    if (next?.tabIndex === -1 && !next.hasAttribute("tabindex")) next.setAttribute("tabindex", "-1");
    next?.focus(); // who came here with the keyboard goes on from here
  }
}
