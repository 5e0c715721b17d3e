// The one client of a page, which all elements and scripts on it share.
//
// `{% realtime_scripts %}` writes its options as `<meta name="realtime-…">`: `user`, `csrf`, and the addresses
// `socket`, `stream`, `polling`, `ticket`, `tasks` and `health`. What is asked for comes from the elements.

import { RealtimeClient } from "./client.js";

let client = null;

function option(name) {
  return document.querySelector(`meta[name="realtime-${name}"]`)?.content || undefined;
}

/** The page's client, started when somebody first asks for it. It follows what it is told to: `watch`, `follow`. */
export function getClient() {
  if (client === null) {
    const names = ["stream", "polling", "ticket", "tasks", "health"];
    const urls = Object.fromEntries(names.map((name) => [name, option(name)]));
    const [url, user, csrf] = ["socket", "user", "csrf"].map(option);
    client = new RealtimeClient({ url, user: user ?? null, csrf, topics: [], urls });
    // Later: the elements of the page that stand there already say first what they want.
    queueMicrotask(() => client.start());
  }
  return client;
}
