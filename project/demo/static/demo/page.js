// The page “my tasks, moving”: draws what the client knows, and says how fresh it is.

import { RealtimeClient } from "../realtime/client.js";
import { NoticeList } from "./notices.js";
import { TaskRow } from "./row.js";
import { clockTime } from "./words.js";

const list = document.getElementById("tasks");
const rows = new Map();
const notices = new NoticeList();

// No token: the browser sends the cookie of the session.
const url = new URL("/ws", location.href);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const client = new RealtimeClient({ url });

/** The newest first, so that nothing moves but the bars. */
function place(row) {
  const next = [...list.children].find((item) => item.dataset.created < row.element.dataset.created);
  list.insertBefore(row.element, next ?? null);
}

function draw(id) {
  const task = client.tasks.get(id);
  // Who may view every task is also told when one of his is given to somebody else.
  if (task === undefined || String(task.owner) !== client.userId) {
    rows.get(id)?.element.remove();
    rows.delete(id);
  } else if (rows.has(id)) {
    rows.get(id).update(task, client.now());
  } else {
    rows.set(id, new TaskRow(task, client.now()));
    place(rows.get(id));
  }
  document.getElementById("empty").hidden = rows.size > 0;
}

function drawAll() {
  for (const id of new Set([...rows.keys(), ...client.tasks.keys()])) draw(id);
  document.getElementById("empty").hidden = rows.size > 0;
}

let liveUntil = null;
let user = null;

function connectionWords({ state, reason, retryIn }) {
  if (state === "live") return "Live";
  const why = reason ? ` ${reason}` : "";
  const asOf = liveUntil === null ? "" : ` Shown as of ${clockTime(liveUntil)}.`;
  if (state === "catching-up") return liveUntil === null ? "Connecting…" : `Catching up…${asOf}`;
  if (state === "reconnecting") return `Reconnecting…${asOf}`;
  if (state === "offline") return `Offline.${asOf}`;
  if (state === "denied") return `Disconnected.${why}${asOf}`;
  return retryIn === null ? "Connecting…" : `No connection yet, trying again…${why}`;
}

client.addEventListener("snapshot", drawAll);
client.addEventListener("change", ({ detail: id }) => draw(id));
client.addEventListener("broadcasts", () => notices.show(client.broadcasts));
client.addEventListener("frame", ({ detail: frame }) => {
  user ??= client.userId;
  if (user !== client.userId) location.reload(); // somebody else has logged in: his name belongs on top
  if (client.state === "live") liveUntil = client.now(); // a refused attempt to come back brings frames too
  if (frame.type === "subscribed" && frame.recovered !== true) {
    document.getElementById("truncated").hidden = frame.truncated !== true;
  }
});
client.addEventListener("state", ({ detail }) => {
  const words = connectionWords(detail);
  const connection = document.getElementById("connection");
  connection.dataset.state = detail.state;
  list.classList.toggle("stale", detail.state !== "live");
  document.getElementById("log-in").hidden = detail.state !== "denied";
  // Only what is new is written: each writing is read out.
  const text = document.getElementById("connection-text");
  if (text.textContent !== words) text.textContent = words;
});

// A duration runs only while we know that its task does.
setInterval(() => {
  if (client.state !== "live") return;
  for (const row of rows.values()) row.tick(client.now());
}, 1000);

client.start();
