// What somebody may do with a task over HTTP: ask it to stop, or try it again.

/**
 * Post to a task's address; resolves to the task that the answer tells of. Rejects with an `Error` whose
 * message is the server's own words, or says that there was no answer.
 *
 * @param {URL} tasks where the tasks of the site are
 * @param {string} id of the task
 * @param {"cancel"|"retry"} deed
 * @param {object} headers the credential
 */
export async function post(tasks, id, deed, headers) {
  const url = new URL(`${encodeURIComponent(id)}/${deed}/`, tasks);
  const answer = await fetch(url, { method: "POST", headers }).catch(() => {
    throw new Error("The site cannot be reached.");
  });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.message ?? `The site answered ${answer.status}.`);
  return body;
}
