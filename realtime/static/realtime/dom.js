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

const SVG = "http://www.w3.org/2000/svg";
const ICONS = new URL("icons.svg", import.meta.url);

/** A word with its icon, a symbol of icons.svg, which nobody reads out. */
export function sign(element, [word, name]) {
  if (element.firstElementChild?.localName !== "svg") element.replaceChildren(icon(), make("span"));
  const [picture, text] = element.children;
  setAttribute(picture.firstElementChild, "href", `${ICONS}#${name}`);
  write(text, word);
}

function icon() {
  const [svg, use] = [document.createElementNS(SVG, "svg"), document.createElementNS(SVG, "use")];
  svg.setAttribute("class", "rt-icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}
