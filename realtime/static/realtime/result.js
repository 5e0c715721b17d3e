// What a task has left behind, as text, links and tables. All of it is the job's own: never markup.

import { make } from "./dom.js";
import { number } from "./words.js";

/** So many rows of a result are shown, and so many columns. */
const ROWS = 20;
const COLUMNS = 6;

/** An address that a link may have: of the web, or of this site. */
function isAddress(value) {
  return typeof value === "string" && /^(https?:\/\/|\/(?![/\\]))[^\s\\]+$/i.test(value);
}

/** A name as people write it: “zip_bytes” is “zip bytes”. */
function words(name) {
  return name.replaceAll("_", " ");
}

function plain(value) {
  if (value === null) return "–";
  if (typeof value === "number") return number.format(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A value as text, or as a link when it is an address. */
function filled(element, value) {
  if (!isAddress(value)) {
    element.textContent = plain(value);
    return element;
  }
  const link = make("a", "", value);
  link.href = value;
  link.rel = "noopener noreferrer";
  element.append(link);
  return element;
}

function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function more(left) {
  return left > 0 ? [make("p", "rt-rest", `and ${number.format(left)} more`)] : [];
}

/** The values by name. */
function list(result) {
  const all = Object.entries(result);
  const names = make("dl");
  for (const [name, value] of all.slice(0, ROWS)) {
    const pair = make("div");
    pair.append(make("dt", "", words(name)), filled(make("dd"), value));
    names.append(pair);
  }
  return [names, ...more(all.length - ROWS)];
}

/** Records as rows; the columns are those of the first. */
function table(records) {
  const columns = Object.keys(records[0]).slice(0, COLUMNS);
  const [grid, head, body] = [make("table"), make("thead"), make("tbody")];
  const headings = make("tr");
  const style = (value) => (typeof value === "number" ? "rt-number" : "");
  for (const column of columns) {
    headings.append(Object.assign(make("th", style(records[0][column]), words(column)), { scope: "col" }));
  }
  head.append(headings);
  for (const record of records.slice(0, ROWS)) {
    const row = make("tr");
    for (const column of columns) {
      const value = record[column] ?? null;
      row.append(filled(make("td", style(value)), value));
    }
    body.append(row);
  }
  grid.append(head, body);
  return [grid, ...more(records.length - ROWS)];
}

/** The elements that show a result; none when there is none. */
export function resultElements({ result, truncated = [] }) {
  if (truncated.includes("result")) return [make("p", "", "The result is too large to show here.")];
  if (result === null || result === undefined || result === "") return [];
  if (isRecord(result)) return list(result);
  const records = Array.isArray(result) && result.length > 0 && result.every(isRecord);
  return records ? table(result) : [filled(make("p"), result)];
}
