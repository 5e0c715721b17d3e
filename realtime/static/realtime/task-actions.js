// The buttons of a task: cancel while it can be stopped, retry when it went wrong.

import { busy } from "./deeds.js";
import { make, setAttribute, write } from "./dom.js";

/** What the button of each deed says: at first, while it waits for long, and when that has been done. */
const DEEDS = {
  cancel: { word: "Cancel", slow: "Cancelling…", done: "Cancel" }, // what was cancelled says so itself
  retry: { word: "Retry", slow: "Retrying…", done: "Retried" },
};

/** What may be done with a task in that state: a key of `STATUS`. */
function possible(state) {
  if (["waiting", "running", "stale"].includes(state)) return "cancel";
  return ["failed", "cancelled"].includes(state) ? "retry" : null;
}

export class TaskActions {
  element = make("span", "rt-actions");
  #buttons = {};
  #name = "";
  #said = { cancel: "word", retry: "word" };
  #problem = make("span", "rt-problem");
  #act;

  /** @param {(deed: string) => Promise} act does it; what it rejects with is shown */
  constructor(act) {
    this.#act = act;
    this.#problem.setAttribute("role", "alert");
    this.#problem.hidden = true;
    for (const deed of Object.keys(DEEDS)) {
      const button = make("button", "rt-button");
      button.type = "button";
      button.hidden = true;
      button.addEventListener("click", () => this.#click(deed));
      this.#buttons[deed] = button;
    }
    this.element.append(this.#problem, ...Object.values(this.#buttons));
  }

  /** Offer what the state allows; with no state, nothing. */
  offer(state, name) {
    const renamed = name !== this.#name;
    this.#name = name;
    for (const [deed, button] of Object.entries(this.#buttons)) {
      const shown = state !== null && possible(state) === deed;
      if (renamed) this.#say(deed, this.#said[deed]);
      if (button.hidden === !shown) continue;
      if (!shown && document.activeElement === button) this.#hold();
      button.hidden = !shown;
      setAttribute(button, "aria-disabled", null);
      this.#say(deed, "word");
      write(this.#problem, "");
    }
  }

  /** What is seen is also what is heard and spoken, with the task's name behind it. */
  #say(deed, how) {
    const button = this.#buttons[deed];
    this.#said[deed] = how;
    button.textContent = DEEDS[deed][how];
    button.setAttribute("aria-label", `${DEEDS[deed][how]}: ${this.#name}`);
  }

  /** Who came here with the keyboard goes on from here when the button goes. */
  #hold() {
    const task = this.element.closest("task-progress");
    if (!task.hasAttribute("tabindex")) task.setAttribute("tabindex", "-1");
    task.focus();
  }

  async #click(deed) {
    const button = this.#buttons[deed];
    if (button.hasAttribute("aria-disabled")) return;
    const rest = busy(button, (slow) => this.#say(deed, slow ? "slow" : "word"));
    write(this.#problem, "");
    try {
      await this.#act(deed);
      rest();
      this.#say(deed, "done");
      setAttribute(button, "aria-disabled", "true");
    } catch (error) {
      rest();
      write(this.#problem, error.message);
    }
  }
}
