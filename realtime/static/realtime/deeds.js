// What somebody may do with a task over HTTP: ask it to stop, or try it again; and the button meanwhile.

import { problemText } from "./words.js";

/** Milliseconds after which an answer is not waited for any longer. */
export const DEADLINE = 10_000;
/** Milliseconds after which a button says that it waits. */
const SLOW = 600;

/**
 * Post to a task's address; resolves to the task that the answer tells of. Rejects with an `Error` whose
 * message says to people what went wrong, or that there was no answer; `code` is the server's, if it gave one.
 *
 * @param {URL} tasks where the tasks of the site are
 * @param {string} id of the task
 * @param {"cancel"|"retry"} deed
 * @param {object} headers the credential
 */
export async function post(tasks, id, deed, headers) {
  const url = new URL(`${encodeURIComponent(id)}/${deed}/`, tasks);
  const signal = AbortSignal.timeout(DEADLINE);
  const answer = await fetch(url, { method: "POST", headers, signal }).catch(({ name }) => {
    throw new Error(name === "TimeoutError" ? "The site does not answer." : "The site cannot be reached.");
  });
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null) return body;
  const words = problemText(body ?? {}) || `The site answered ${answer.status}.`;
  throw Object.assign(new Error(words), { code: body?.code });
}

/**
 * Let a button wait; `disabled` would take the focus away. Returns what ends that.
 *
 * @param {HTMLElement} button whose clicks are passed over while it has `aria-disabled`
 * @param {(slow: boolean) => void} say writes the button's words: that it takes long, and then as before
 */
export function busy(button, say) {
  button.setAttribute("aria-disabled", "true");
  const slow = setTimeout(() => say(true), SLOW);
  return () => {
    clearTimeout(slow);
    say(false);
    button.removeAttribute("aria-disabled");
  };
}
