"""A task's result as people read it: text, links, tables; the same with JavaScript and without."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.template.loader import render_to_string

from realtime.results import Result
from tests.pages import Visit

MARKUP = "<img src=x onerror='window.hit = 1'>"
#: Results, and what is read: the text, and the addresses of links.
RESULTS: list[tuple[Any, str, list[str]]] = [
    (None, "", []),
    ("", "", []),
    ("Done.", "Done.", []),
    (12345, "12,345", []),
    (True, "true", []),
    ({"files": 1204, "zip_bytes": None}, "files 1,204 zip bytes –", []),
    ([{"a": 1, "b": "x"}, {"a": 2}], "a b 1 x 2 –", []),
    ([1, 2], "[1,2]", []),
    ("https://example.com/a?b=1", "https://example.com/a?b=1", ["https://example.com/a?b=1"]),
    ({"file": "/media/a.zip"}, "file /media/a.zip", ["/media/a.zip"]),
    ("javascript:window.hit=1", "javascript:window.hit=1", []),
    ("//evil.test/", "//evil.test/", []),
    ("/\\evil.test/", "/\\evil.test/", []),
    ("data:text/html,x", "data:text/html,x", []),
    (MARKUP, MARKUP, []),
    ({MARKUP: MARKUP}, f"{MARKUP} {MARKUP}", []),
    ([{"n": number} for number in range(23)], f"n {' '.join(map(str, range(20)))} and 3 more", []),
]
DRAW = """
async (result) => {
  const { resultElements } = await import("/static/realtime/result.js");
  const place = document.querySelector("main");
  place.replaceChildren(...resultElements({ result }));
  const leaves = [...place.querySelectorAll("*")].filter((one) => one.childElementCount === 0);
  const links = [...place.querySelectorAll("a")].map((link) => link.getAttribute("href"));
  return [leaves.map((one) => one.textContent).join(" "), links];
}
"""


def words(html: str) -> str:
    """The text of rendered HTML, its white space folded."""
    text = re.sub(r"<[^>]+>", " ", html)
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&#x27;", "'"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, sign)
    return " ".join(text.split())


@pytest.mark.parametrize(("result", "text", "links"), RESULTS, ids=str)
def test_what_the_server_renders(result: Any, text: str, links: list[str]) -> None:
    """Nothing of a result is markup, and only an address of the web or of this site is a link."""
    shown = Result.of(result)
    html = "" if shown is None else render_to_string("realtime/result.html", {"result": shown})
    assert words(html).replace(", ", ",") == text.replace(", ", ",")
    assert re.findall(r'href="([^"]+)"', html) == [link.replace("&", "&amp;") for link in links]
    assert "<img" not in html


def test_what_the_element_shows(visit: Callable[..., Visit]) -> None:
    """The same, for each of them."""
    page = visit(user=None, path="/accounts/login/").page
    for result, text, links in RESULTS:
        assert page.evaluate(DRAW, result) == [text, links]
    assert page.evaluate("window.hit === undefined")


def test_a_client_holds_no_more_rows_than_it_should(visit: Callable[..., Visit]) -> None:
    """Of too many rows the oldest finished ones go; those that run, and one that is watched, stay."""
    page = visit(user=None, path="/accounts/login/").page
    held = page.evaluate("""async () => {
      const { Store } = await import("/static/realtime/store.js");
      const store = new Store({ topics: ["tasks"], taskIds: ["3"] }, null, () => {});
      for (let number = 0; number < 2000; number += 1) {
        const created_at = new Date(number * 1000).toISOString();
        const status = number % 100 === 0 ? "running" : "completed";
        const data = { task_id: String(number), created_at, status, version: 1, owner: "1" };
        store.apply({ type: "task_update", id: number + 1, task_id: data.task_id, data });
      }
      return [...store.tasks.keys()].map(Number);
    }""")
    assert 500 <= len(held) <= 550
    assert {3, *range(0, 2000, 100), *range(1600, 2000)} <= {*held}
