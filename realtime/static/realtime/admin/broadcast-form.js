// The form that sends a broadcast, and the page that asks once more: a preview, whom it would reach, one sending.

import { noticeElement } from "../broadcast-banner.js";
import { People } from "./broadcast-people.js";
import { Reach } from "./broadcast-reach.js";

const form = document.getElementById("broadcast_form");
const preview = document.getElementById("broadcast-preview");
/** What could open a tag, as the server looks for it. */
const MARKUP = /<[A-Za-z/!?]/;
/** Milliseconds after which a form that was sent, and to which no answer came, may be sent again. */
const AGAIN_MS = 10_000;

function value(name) {
  return String(new FormData(form).get(name) ?? "");
}

/** What is sent: on the page that asks once more, the server has cleaned it. */
function text(name) {
  return preview.dataset[name] ?? value(name);
}

/** Draw what stands in the form as the component will, once for each theme; all of it is text. */
function draw() {
  const [title, message] = ["title", "message"].map(text);
  const [level, type] = ["level", "type"].map(value);
  const dismissible = !["", "False"].includes(value("dismissible"));
  const notice = {
    broadcast_id: "preview",
    timestamp: new Date().toISOString(),
    sender: preview.dataset.sender,
    message: { title: title.trim(), message: message.trim() || "…", level, type, dismissible },
  };
  for (const list of preview.querySelectorAll(".rt-notices")) list.replaceChildren(noticeElement(notice, () => {}));
  preview.querySelector(".broadcast-type").textContent = `Sent as ${/^[aeiou]/.test(type) ? "an" : "a"} ${type}.`;
  preview.querySelector(".broadcast-markup").hidden = !MARKUP.test(title + message);
}

/** Show of the audience only what is chosen, and what has an error. */
function choose() {
  const kind = value("audience_kind");
  for (const name of ["group", "users"]) {
    const row = form.querySelector(`.form-row.field-${name}`);
    if (row) row.hidden = kind !== name && !row.matches(".errors");
  }
  people?.show(kind === "users");
}

const found = document.getElementById("broadcast-found");
const people = found && new People(found, form.elements.namedItem("users"));
const reach = new Reach(document.getElementById("broadcast-reach"), form);

preview.hidden = false;
draw();
choose();
form.addEventListener("input", ({ target }) => {
  draw();
  if (!["audience_kind", "group", "users"].includes(target.name)) return;
  choose();
  reach.ask();
});

// A second click sends nothing; the server would not send it twice either.
let sentAt = -Infinity;
form.addEventListener("submit", (event) => {
  if (performance.now() - sentAt < AGAIN_MS) event.preventDefault();
  else sentAt = performance.now();
});
addEventListener("pageshow", () => (sentAt = -Infinity));
