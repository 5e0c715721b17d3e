// The broadcasts above the tasks: elements filled from the template with text only.

import { LEVEL_WORDS, clockTime } from "./words.js";

const DISMISSED = "dismissed-notices"; // in the tab's own storage, so that a reload keeps them away

export class NoticeList {
  #list = document.getElementById("notices");
  #template = document.getElementById("notice");
  #dismissed = new Set(JSON.parse(sessionStorage.getItem(DISMISSED) ?? "[]"));
  #items = new Map();
  #current = [];

  /** @param {object[]} frames the `broadcast` frames in their window, the newest first */
  show(frames) {
    this.#current = frames;
    const shown = frames.filter(({ broadcast_id: id }) => !this.#dismissed.has(id));
    const ids = new Set(shown.map(({ broadcast_id: id }) => id));
    for (const [id, item] of this.#items) {
      if (ids.has(id)) continue;
      item.remove();
      this.#items.delete(id);
    }
    shown.forEach((frame, place) => {
      if (this.#items.has(frame.broadcast_id)) return; // each one that is put in is read out
      const item = this.#element(frame);
      this.#items.set(frame.broadcast_id, item);
      this.#list.insertBefore(item, this.#list.children[place] ?? null);
    });
    this.#list.hidden = shown.length === 0;
  }

  #element({ broadcast_id: id, timestamp, sender, message }) {
    const item = this.#template.content.cloneNode(true).firstElementChild;
    const texts = {
      level: LEVEL_WORDS[message.level] ?? message.level,
      title: message.title,
      message: message.message,
      sender: sender === undefined || sender === null ? "" : `From ${sender}`,
      time: clockTime(Date.parse(timestamp)),
    };
    for (const field of item.querySelectorAll("[data-field]")) {
      field.textContent = texts[field.dataset.field];
      field.hidden = field.textContent === "";
    }
    item.dataset.level = message.level;
    item.querySelector("use").setAttribute("href", `#icon-${message.level}`);
    const button = item.querySelector("button");
    button.hidden = !message.dismissible;
    button.setAttribute("aria-label", `Dismiss: ${texts.title || texts.level}`);
    button.addEventListener("click", () => this.#dismiss(id));
    return item;
  }

  #dismiss(id) {
    const still = this.#current.map(({ broadcast_id: other }) => other).filter((other) => this.#dismissed.has(other));
    this.#dismissed = new Set([...still, id]);
    sessionStorage.setItem(DISMISSED, JSON.stringify([...this.#dismissed]));
    this.show(this.#current);
    // Who came here with the keyboard goes on from here.
    const next = this.#list.querySelector("button:not([hidden])") ?? document.querySelector("h1");
    next.focus();
  }
}
