// What the page does beside its elements: its forms answer without a new page, and it stays with its user.

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
  const body = new FormData(form, submitter);
  submitter.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (answer.redirected || answer.status === 403) location.reload(); // the session is over
    else say(answer.ok ? "" : (await answer.json()).message);
  } catch {
    say("The site cannot be reached. Nothing was started.");
  }
  submitter.disabled = false;
});

const client = getClient();
const user = document.querySelector('meta[name="realtime-user"]').content;
client.addEventListener("change", ({ detail: id }) => {
  if (client.tasks.get(id)?.finished_at) problem.textContent = ""; // there is room again
});
client.addEventListener("frame", () => {
  if (client.userId !== user) location.reload(); // somebody else has logged in: his name belongs on top
});
