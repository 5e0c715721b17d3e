// The broadcasts of a client: kept by id, each from the moment it comes until it ends or is retracted.

import { LONGEST_TIMER } from "./timing.js";

export class Notices {
  #now;
  #changed;
  #current = new Map();
  #incoming = null; // those of a snapshot until it is complete
  #timer = null;

  /** @param {() => number} now the server's clock in milliseconds
   *  @param {() => void} changed called when there is one more or less */
  constructor(now, changed) {
    this.#now = now;
    this.#changed = changed;
  }

  get newestFirst() {
    return [...this.#current.values()].sort((a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp));
  }

  /** Take one that is new, or still in its window. A repeat changes nothing. */
  add(frame) {
    const notices = this.#incoming ?? this.#current;
    // A replay brings also what has ended meanwhile.
    if (notices.has(frame.broadcast_id) || this.#end(frame) <= this.#now()) return;
    notices.set(frame.broadcast_id, frame);
    if (notices === this.#current) this.#update();
  }

  remove(id) {
    this.#incoming?.delete(id);
    if (this.#current.delete(id)) this.#update();
  }

  /** A snapshot follows; what was there before stays until it is complete. */
  startAfresh() {
    this.#incoming = new Map();
  }

  /** The snapshot is complete and takes the place of what was there before. */
  complete() {
    this.#current = this.#incoming;
    this.#incoming = null;
    this.#update();
  }

  /** The snapshot will not be completed. */
  cut() {
    this.#incoming = null;
  }

  clear() {
    this.#current.clear();
    this.#update();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** Let go of those that have ended, come back when the next one does, and tell. */
  #update() {
    const now = this.#now();
    for (const [id, frame] of this.#current) {
      if (this.#end(frame) <= now) this.#current.delete(id);
    }
    clearTimeout(this.#timer);
    if (this.#current.size > 0) {
      const next = Math.min(...[...this.#current.values()].map((frame) => this.#end(frame)));
      this.#timer = setTimeout(() => this.#update(), Math.min(next - now, LONGEST_TIMER));
    }
    this.#changed();
  }

  #end({ message }) {
    return Date.parse(message.ends_at);
  }
}
