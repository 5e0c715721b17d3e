// What the page does beside its elements: its forms answer without a new page, and it stays with its user.

import { DEADLINE, busy } from "../realtime/deeds.js";
import { getClient } from "../realtime/elements.js";

const problem = document.getElementById("problem");

/** Say what went wrong; said again, it is read out again. */
function say(text) {
  problem.textContent = "";
  problem.textContent = text;
}

document.querySelector("form.jobs").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { target: form, submitter } = event;
  if (submitter.hasAttribute("aria-disabled")) return;
  const body = new FormData(form, submitter);
  const headers = { Accept: "application/json" };
  const what = submitter.querySelector(".what");
  const name = what.textContent;
  const done = busy(submitter, (slow) => (what.textContent = slow ? "Starting…" : name));
  try {
    const signal = AbortSignal.timeout(DEADLINE);
    const answer = await fetch(form.action, { method: "POST", body, headers, signal });
    if (answer.redirected || answer.status === 403) location.reload(); // the session is over
    else say(answer.ok ? "" : (await answer.json()).message);
  } catch (error) {
    // Who had no answer in time does not know whether it was done.
    const late = "The site does not answer. If the job was started, it appears here.";
    say(error.name === "TimeoutError" ? late : "The site cannot be reached. Nothing was started.");
  }
  done();
});

const client = getClient();
const user = document.querySelector('meta[name="realtime-user"]').content;
client.addEventListener("change", ({ detail: id }) => {
  const task = client.tasks.get(id);
  if (task?.finished_at || task?.version === 1) problem.textContent = ""; // there is room again, or it is here
});
client.addEventListener("frame", () => {
  if (client.userId !== user) location.reload(); // somebody else has logged in: his name belongs on top
});
