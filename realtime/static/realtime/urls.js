// The addresses of the site that the client talks to.

/** Their places below the site's root, as `realtime.urls` has them. */
const PATHS = {
  stream: "/events",
  polling: "/api/events/",
  ticket: "/api/ticket/",
  tasks: "/api/tasks/",
  health: "/healthz",
};

/** @param {string|URL} [socket] ws: or wss:; `/ws` of this page's site if none
 *  @param {object} [others] addresses that are not at their places */
export function siteUrls(socket, others = {}) {
  const found = { socket: new URL(socket ?? "/ws", location.href) };
  found.socket.protocol = found.socket.protocol.replace("http", "ws");
  const site = new URL(found.socket);
  site.protocol = site.protocol.replace("ws", "http");
  for (const [name, path] of Object.entries(PATHS)) found[name] = new URL(others[name] ?? path, site);
  return found;
}
