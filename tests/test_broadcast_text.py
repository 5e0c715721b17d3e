"""No markup survives a broadcast, and nothing else is lost."""

from __future__ import annotations

import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.models.notices import clean_data, plain_text, without_markup

#: Pieces of which markup is made, and of which it might be put together again once some are taken out.
PIECES = st.sampled_from(
    [
        "<",
        ">",
        "</",
        "<!--",
        "-->",
        "<![CDATA[",
        "script",
        "img src=x onerror=alert(1)",
        "a",
        " ",
        "&lt;",
        '"',
        "<scr",
    ]
)


class Tags(html.parser.HTMLParser):
    """Counts what a browser would take for markup."""

    found = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Count a tag that opens."""
        self.found += 1

    def handle_endtag(self, tag: str) -> None:
        """Count a tag that closes."""
        self.found += 1

    def handle_comment(self, data: str) -> None:
        """Count a comment."""
        self.found += 1


def tags(text: str) -> int:
    """Return how many tags a browser finds in a page that holds the text."""
    parser = Tags()
    parser.feed(f"{text}>")
    parser.close()
    return parser.found


@pytest.mark.requirement("C3")
@pytest.mark.requirement("K20")
@given(st.lists(PIECES, max_size=12).map("".join) | st.text())
def test_no_markup_survives(text: str) -> None:
    """Whatever is put together, a page that holds it holds no tag of it; twice is the same as once."""
    clean = without_markup("message", text)
    assert tags(clean) == 0
    assert without_markup("message", clean) == clean


@pytest.mark.requirement("C3")
@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<script>alert(1)</script>Hello", "alert(1)Hello"),
        ("<b>Bold</b> words", "Bold words"),
        ("<scr<script>ipt>alert(1)</script>", "ipt>alert(1)"),
        ("I <3 this, 1 < 2 and 3 > 2", "I <3 this, 1 < 2 and 3 > 2"),
        ("line one\nline two\ttab", "line one\nline two\ttab"),
        ("bell\x07 and null\x00", "bell and null\ufffd"),
        ("&lt;b&gt; stays as it is written", "&lt;b&gt; stays as it is written"),
        ("  Grüße, 你好 🎉 ", "Grüße, 你好 🎉"),
    ],
)
def test_what_is_left_is_plain_text(text: str, plain: str) -> None:
    """Signs that are no markup stay; control characters go, but for line ends and tabs."""
    assert plain_text("message", text, 4000) == plain


@pytest.mark.requirement("C3")
def test_texts_in_data_hold_no_markup_either() -> None:
    """In every depth, keys too; other values stay."""
    assert clean_data({"<b>k</b>": ["<i>v</i>", 1, None, True, {"x": "1 < 2"}]}) == {
        "k": ["v", 1, None, True, {"x": "1 < 2"}]
    }
