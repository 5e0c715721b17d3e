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

/** Which of the tasks this user cannot see. What cannot be asked just now counts as there. */
export async function missingTasks(urls, ids, headers) {
  const missing = [];
  for (const id of ids) {
    const response = await fetch(new URL(`${encodeURIComponent(id)}/`, urls.tasks), { headers }).catch(() => null);
    if (response?.status === 404) missing.push(id);
  }
  return missing;
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
