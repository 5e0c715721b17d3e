// What the server's refusals mean, whether they come as a status, as an `error` frame or as a close code.

/** The codes of errors that end a connection, where only the code is known. */
const CLOSES = {
  not_authenticated: 4401,
  invalid_token: 4401,
  token_expired: 4401,
  user_inactive: 4401,
  revoked: 4401,
  invalid_ticket: 4401,
  rights_changed: 4401,
  origin_not_allowed: 4403,
  disconnected: 4403,
  slow_consumer: 4410,
  too_many_connections: 4429,
  restarting: 4503,
};
const STATUSES = { 400: 4403, 401: 4401, 403: 4403, 429: 4429, 503: 4503 };

/** The close code that an HTTP status or an error's code stands for. */
export function closeCode(answer) {
  return (typeof answer === "number" ? STATUSES[answer] : CLOSES[answer]) ?? 4500;
}

/** The topics that every site has; any other is the site's own, and has a permission of its own. */
const KNOWN = new Set(["mine", "tasks", "broadcasts"]);

export const isOwn = (topic) => !KNOWN.has(topic);

/**
 * What of a subscribe this user cannot see, as the `error` frames of a socket. What cannot be asked just now
 * counts as there; a resume says of tasks itself that they are gone.
 */
export async function missing(urls, { topics, task_ids: ids, after }, headers) {
  const status = async (url) => (await fetch(url, { headers }).catch(() => null))?.status;
  const errors = [];
  for (const id of after === undefined ? ids : []) {
    if ((await status(new URL(`${encodeURIComponent(id)}/`, urls.tasks))) !== 404) continue;
    errors.push({ type: "error", code: "not_found", message: "No such task.", task_id: id });
  }
  for (const topic of [...topics].filter(isOwn)) {
    const url = new URL(urls.polling);
    url.searchParams.set("topic", topic);
    if ((await status(url)) !== 400) continue;
    errors.push({ type: "error", code: "unknown_topic", message: "Unknown topic.", topic });
  }
  return errors;
}

/** Whether the site answers at all: then it is the transport that does not get through. */
export async function reachable(urls, milliseconds) {
  try {
    const signal = AbortSignal.timeout(milliseconds);
    const response = await fetch(urls.health, { cache: "no-store", credentials: "omit", signal });
    return response.status < 500;
  } catch {
    return false;
  }
}
