// The search for users: what is found is added to the field of usernames, which is what is sent.

import { make } from "../dom.js";
import { write } from "./cells.js";

/** Milliseconds without typing before it is asked. */
const PAUSE_MS = 200;

export class People {
  #place;
  #names;
  #search;
  #list;
  #asking = null; // ends the asking that is under way
  #pause = null;

  /** @param {HTMLElement} place the search, its list and its status
   *  @param {HTMLTextAreaElement} names the field of the form */
  constructor(place, names) {
    [this.#place, this.#names] = [place, names];
    [this.#search, this.#list] = [place.querySelector("input"), place.querySelector("ul")];
    // Beside the field that it fills.
    names.closest(".form-row").append(place);
    this.#search.addEventListener("input", (event) => {
      event.stopPropagation(); // it is no part of the broadcast
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#find(), PAUSE_MS);
    });
    this.#search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // nothing is sent from here
      this.#list.querySelector("button")?.click();
    });
  }

  show(wanted) {
    this.#place.hidden = !wanted;
  }

  async #find() {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    const url = new URL(this.#place.dataset.url, location.href);
    url.searchParams.set("q", this.#search.value);
    try {
      const response = await fetch(url, { signal: asking.signal });
      if (!response.ok || response.redirected) throw new Error("refused");
      this.#show(await response.json());
    } catch {
      if (!asking.signal.aborted) this.#show({ names: [], lost: true });
    }
  }

  #show({ names, more, lost }) {
    this.#list.replaceChildren(
      ...names.map((name) => {
        const button = make("button", "", name);
        button.type = "button";
        button.setAttribute("aria-label", `Add ${name}`);
        button.addEventListener("click", () => this.#add(name));
        const item = make("li");
        item.append(button);
        return item;
      }),
    );
    let text = `${names.length} found${more ? ", and there are more" : ""}`;
    if (lost) text = "The server does not answer.";
    else if (this.#search.value.trim() === "") text = "";
    write(this.#place.querySelector("[role=status]"), text);
  }

  #add(name) {
    const names = new Set(this.#names.value.split(/[\s,]+/).filter(Boolean)).add(name);
    this.#names.value = [...names].join(", ");
    this.#names.dispatchEvent(new Event("input", { bubbles: true }));
    this.#search.value = "";
    this.#show({ names: [] });
    write(this.#place.querySelector("[role=status]"), `${name} is added`);
    this.#search.focus();
  }
}
