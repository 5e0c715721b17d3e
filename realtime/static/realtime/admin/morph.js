// Bring a piece of the page up to what the server says it is now, keeping every element that can stay: the
// focus, an open table, a selection and the scroll are where they were.

/** Attributes that are the reader's, not the server's. */
const OWN = new Set(["open"]);

/** Make `now` like `next`, an element of a parsed page. */
export function morph(now, next) {
  if (now.isEqualNode(next)) return;
  attributes(now, next);
  const kept = new Map();
  for (const child of now.children) if (child.id) kept.set(child.id, child);
  let place = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    const found = counterpart(kept, place, wanted);
    if (found === null) {
      now.insertBefore(document.importNode(wanted, true), place);
      continue;
    }
    if (found !== place) now.insertBefore(found, place);
    else place = place.nextSibling;
    if (found.nodeType === Node.ELEMENT_NODE) morph(found, wanted);
    else if (found.nodeValue !== wanted.nodeValue) found.nodeValue = wanted.nodeValue;
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

/** The node that stays for `wanted`: the one of its id, else the one in its place if it is of its kind. */
function counterpart(kept, place, wanted) {
  if (wanted.id) return kept.get(wanted.id) ?? null;
  return place && !place.id && place.nodeName === wanted.nodeName ? place : null;
}

function attributes(now, next) {
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && !OWN.has(name)) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
}

/** Fetch a page of this site and parse it; null when it is not to be had: no network, no right, logged out. */
export async function read(url, signal) {
  try {
    const response = await fetch(url, { signal });
    if (!response.ok || response.redirected) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return null;
  }
}
