"""The templates: what they write for styles and scripts is known to one of them."""

from __future__ import annotations

import re
from pathlib import Path

import realtime

ROOT = Path(realtime.__file__).parent


def test_every_class_that_a_template_writes_is_known() -> None:
    """Of ours: a style or a script looks for it, or it is not written."""
    written = {
        (path.name, name)
        for path in (ROOT / "templates").rglob("*.html")
        for names in re.findall(r'class="([^"]*)"', path.read_text())
        for name in re.sub(r"{[{%].*?[%}]}", "*", names).split()
        if name.startswith(("rt-", "broadcast-")) and "*" not in name
    }
    files = [path for path in (ROOT / "static").rglob("*") if path.suffix in (".css", ".js")]
    known = set(re.findall(r"[a-z]+(?:-[a-z]+)+", " ".join(path.read_text() for path in files)))
    assert {each for each in written if each[1] not in known} == set()
