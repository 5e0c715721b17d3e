// Whom a broadcast would reach now: asked when the audience changes and every few seconds, with its age.

import { length, write } from "./cells.js";

/** Milliseconds without typing before it is asked, and after which an answer is not waited for any more. */
const PAUSE_MS = 300;
const PATIENCE_MS = 10_000;
const FIELDS = ["csrfmiddlewaretoken", "audience_kind", "group", "users"];

export class Reach {
  #place;
  #form;
  #asking = null; // ends the asking that is under way
  #pause = null;
  #askedAt = performance.now();
  #answeredAt = performance.now();

  /** @param {HTMLElement} place where it is shown
   *  @param {HTMLFormElement} form where the audience stands */
  constructor(place, form) {
    [this.#place, this.#form] = [place, form];
    setInterval(() => this.#tick(), 1_000);
  }

  /** Ask anew, soon: the audience is another. */
  ask() {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  #tick() {
    if (document.hidden) return;
    this.#find(".broadcast-age").textContent = `, ${length(performance.now() - this.#answeredAt)} ago`;
    if (performance.now() - this.#askedAt >= Number(this.#place.dataset.poll)) this.#ask();
  }

  async #ask() {
    this.#askedAt = performance.now();
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    const all = new FormData(this.#form);
    const body = new FormData();
    for (const name of FIELDS) body.append(name, all.get(name) ?? "");
    const signal = AbortSignal.any([asking.signal, AbortSignal.timeout(PATIENCE_MS)]);
    try {
      const response = await fetch(this.#place.dataset.url, { method: "POST", body, signal });
      if (response.redirected) return this.#old("you are logged out.");
      if (response.status === 403) return this.#old("you may not send any more, or this page is too old. Reload it.");
      if (!response.ok) throw new Error("refused");
      this.#show(await response.json());
    } catch {
      if (asking.signal.aborted) return; // another asking is under way
      this.#old("the server does not answer.");
    }
  }

  #old(why) {
    this.#place.dataset.complete = "";
    write(this.#find(".broadcast-note"), `Old: ${why}`);
  }

  #show({ text, note, problem, complete, at }) {
    this.#answeredAt = performance.now();
    this.#place.dataset.complete = complete ? "1" : "";
    // Only what is new is read out.
    write(this.#find(".broadcast-figure"), problem ?? text);
    write(this.#find(".broadcast-note"), note ?? "");
    const time = this.#find("time");
    if (time.dateTime !== at) time.dateTime = at;
    write(time, new Date(at).toLocaleTimeString("en-GB", { timeZone: this.#place.dataset.zone }));
  }

  #find(selector) {
    return this.#place.querySelector(selector);
  }
}
