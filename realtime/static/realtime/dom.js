// Small helpers of the elements. Everything from outside is text, never markup.

/** An element with a class and a text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Write only what is new: what is written anew may be read out again, and loses its selection. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = text === "";
}

/** Set or remove an attribute, only when it changes. */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** A word with its icon, which nobody reads out. */
export function sign(element, [word, icon]) {
  if (element.childElementCount !== 2) element.replaceChildren(make("span", "rt-icon"), make("span"));
  const [first, second] = element.children;
  first.setAttribute("aria-hidden", "true");
  write(first, icon);
  write(second, word);
}
