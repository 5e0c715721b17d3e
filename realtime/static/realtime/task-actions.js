// The buttons of a task: cancel while it can be stopped, retry when it went wrong.

import { make, setAttribute, write } from "./dom.js";

const DEEDS = { cancel: "Cancel", retry: "Retry" };

/** What may be done with a task in that state: a key of `STATUS`. */
function possible(state) {
  if (["waiting", "running", "stale"].includes(state)) return "cancel";
  return ["failed", "cancelled"].includes(state) ? "retry" : null;
}

export class TaskActions {
  element = make("span", "rt-actions");
  #buttons = {};
  #problem = make("span", "rt-problem");
  #act;

  /** @param {(deed: string) => Promise} act does it; what it rejects with is shown */
  constructor(act) {
    this.#act = act;
    this.#problem.setAttribute("role", "alert");
    this.#problem.hidden = true;
    for (const [deed, word] of Object.entries(DEEDS)) {
      const button = make("button", "rt-button", word);
      button.type = "button";
      button.hidden = true;
      button.addEventListener("click", () => this.#click(deed));
      this.#buttons[deed] = button;
    }
    this.element.append(this.#problem, ...Object.values(this.#buttons));
  }

  /** Offer what the state allows; with no state, nothing. */
  offer(state, name) {
    for (const [deed, button] of Object.entries(this.#buttons)) {
      const shown = state !== null && possible(state) === deed;
      setAttribute(button, "aria-label", `${DEEDS[deed]}: ${name}`);
      if (button.hidden === !shown) continue;
      if (!shown && document.activeElement === button) this.#hold();
      button.hidden = !shown;
      setAttribute(button, "aria-disabled", null);
      button.textContent = DEEDS[deed];
      write(this.#problem, "");
    }
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
    setAttribute(button, "aria-disabled", "true"); // `disabled` would take the focus away
    write(this.#problem, "");
    try {
      await this.#act(deed);
      if (deed === "retry") button.textContent = "Retried"; // what was cancelled says so itself
    } catch (error) {
      write(this.#problem, error.message);
      setAttribute(button, "aria-disabled", null);
    }
  }
}
