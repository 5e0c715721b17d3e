// The log of a task: new lines at its end, followed until the reader scrolls away; earlier ones on demand.
//
// The page holds a number of lines. Who follows has the last ones; who reads further up keeps what is there, and is
// told when there are more.

import { stamp, write } from "./cells.js";

/** Lines that the page holds, and that are read at a time. */
const MOST = 2_000;
const SOME = 200;
/** Milliseconds after which an answer is not waited for any more. */
const PATIENCE_MS = 10_000;
/** Pixels from the end that count as being there. */
const NEAR = 24;

export class Log {
  #root = document.getElementById("rt-log");
  #list = this.#root.querySelector(".rt-lines");
  #follow = this.#root.querySelector(".rt-follow");
  #earlier = this.#root.querySelector(".rt-earlier");
  #more = this.#root.querySelector(".rt-more-lines");
  #zone;
  #reading = false;
  #again = false;

  constructor(zone) {
    this.#zone = zone;
    this.#follow.parentElement.hidden = false;
    this.#follow.addEventListener("change", () => this.#toEnd());
    this.#list.addEventListener("scroll", () => {
      this.#follow.checked = this.#atEnd;
      if (!this.#more.hidden) this.#toEnd();
    });
    this.#earlier.addEventListener("click", () => this.#back());
    if (!this.#root.dataset.url) this.#earlier.hidden = true;
    this.#toEnd();
  }

  /** Take a line that came live. One that does not follow the last means that some are to be read. */
  take({ number, level, text, truncated }, timestamp) {
    if (this.#full) this.#more.hidden = false;
    else if (number === this.#last + 1) this.#append([{ number, level, text, truncated, timestamp }]);
    else if (number > this.#last) this.catchUp();
  }

  /** Read what was told since the last line that is here. */
  async catchUp() {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    while (this.#again) {
      this.#again = false;
      const found = await this.#fetch(`after=${this.#last}`);
      if (found?.lines.length) this.#append(found.lines);
      this.#again ||= Boolean(found?.lines.length && found.later);
      this.#again &&= !this.#full;
    }
    this.#reading = false;
  }

  get #last() {
    return Number(this.#list.lastElementChild?.dataset.number ?? 0);
  }

  get #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  /** Whether nothing is added, for it would drive away what somebody reads. */
  get #full() {
    return !this.#follow.checked && this.#list.childElementCount >= MOST;
  }

  #toEnd() {
    if (!this.#follow.checked) return;
    if (!this.#more.hidden) this.#skip();
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** Go on at the last lines: those between may be any number. */
  async #skip() {
    this.#more.hidden = true;
    const found = await this.#fetch(`limit=${SOME}`);
    if (!found) return (this.#more.hidden = false);
    if (found.lines.length && found.lines[0].number > this.#last + 1) {
      this.#list.replaceChildren();
      this.#earlier.hidden = !found.earlier;
    }
    this.#append(found.lines);
    this.catchUp();
  }

  #append(lines) {
    const after = this.#last;
    const following = this.#follow.checked;
    const room = following ? lines.length : MOST - this.#list.childElementCount;
    const added = lines.filter((line) => line.number > after);
    this.#list.append(...added.slice(0, room).map((line) => this.#item(line)));
    this.#more.hidden &&= added.length <= room;
    this.#root.querySelector(".rt-no-lines").hidden = true;
    while (this.#list.childElementCount > MOST) {
      this.#list.firstElementChild.remove();
      this.#earlier.hidden = !this.#root.dataset.url;
    }
    this.#follow.checked = following;
    this.#toEnd();
  }

  async #back() {
    const first = this.#list.firstElementChild?.dataset.number;
    if (!first) return;
    this.#earlier.disabled = true;
    const found = await this.#fetch(`before=${first}&limit=${SOME}`);
    this.#earlier.disabled = false;
    if (!found) return;
    this.#follow.checked = false;
    const height = this.#list.scrollHeight - this.#list.scrollTop;
    this.#list.prepend(...found.lines.map((line) => this.#item(line)));
    this.#list.scrollTop = this.#list.scrollHeight - height; // what was read stays where it was
    this.#earlier.hidden = !found.earlier;
    while (this.#list.childElementCount > MOST) {
      this.#list.lastElementChild.remove();
      this.#more.hidden = false;
    }
  }

  async #fetch(asked) {
    if (!this.#root.dataset.url) return null;
    try {
      const response = await fetch(`${this.#root.dataset.url}?${asked}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  #item({ number, level, text, truncated, timestamp }) {
    const item = document.createElement("li");
    item.dataset.number = number;
    item.dataset.level = level;
    const time = Object.assign(document.createElement("time"), { className: "rt-time", dateTime: timestamp });
    write(time, stamp(timestamp, this.#zone));
    item.append(time, " ", span("rt-level", level), " ", span("rt-line", truncated ? `${text} …` : text));
    return item;
  }
}

function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}
