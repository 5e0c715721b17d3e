"""What looks like a secret, and how it is taken out of texts and of JSON. Pure, no Django.

Two kinds of sign: a *name* that says so (``password``, ``client_secret``, ``apiKey``), and a *form* that
nothing else has (a JSON Web Token, the password within a URL, a private key). Every expression here takes
time linear in the text, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

HIDDEN = "***"

#: Names of secrets, each as its words. A key is one that ends with these words: ``db_password`` is, and
#: ``password_changed_at`` or ``token_count`` is not. ``tokens`` is a number wherever texts are counted.
NAMES = (
    *("password", "passwords", "passwd", "pwd", "passphrase", "password hash", "secret", "secrets", "token"),
    *("jwt", "cookie", "cookies", "credential", "credentials", "authorization"),
    *("api key", "secret key", "private key", "access key", "signing key", "encryption key", "session key"),
    *("apikey", "secretkey", "privatekey", "accesskey", "session id", "sessionid", "csrftoken"),
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\dA-Za-z_]+")


class Rule(NamedTuple):
    """What is taken for a secret. Every text with a match has one of ``needs``, seen in lower case.

    To look for these is cheap, and most texts have none.
    """

    needs: tuple[str, ...]
    pattern: re.Pattern[str]
    instead: str | Callable[[re.Match[str]], str] = HIDDEN


#: Secrets by their form alone, in logs and in what workers tell: a URL's password, a ticket of ours, the
#: keys of some services, a private key in PEM.
FORMS = [
    Rule(("://",), re.compile(r"""(?<=://)([^\s/:@'"<>]*:)[^\s/'"<>]+(?=@)"""), r"\1" + HIDDEN),
    Rule(("tkt_",), re.compile(r"tkt_[\w-]{16,}")),
    Rule(
        ("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "sk_live_"),
        re.compile(
            r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}\b|gh[pousr]_[A-Za-z0-9]{20,}|xox[abposr]-[\w-]{10,}"
            r"|sk_live_\w{8,})"
        ),
    ),
    Rule(
        ("private key-----",),
        re.compile(
            r"(?s)(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
        ),
        rf"\1{HIDDEN}\2",
    ),
]
#: Forms that in a log may stand anywhere; in a text of any length the search must begin at a boundary.
_TEXT_FORMS = [
    Rule(
        ("eyj",),
        re.compile(r"(?:(?<![\w-])|(?<=%22)|(?<=%27)|(?<=%3D)|(?<=%20))eyJ[\w-]{5,}\.[\w-]+\.?[\w-]*"),
    ),
    Rule(
        ("bearer",),
        re.compile(r"(?i)\b(bearer\s{1,8})(?=[^\s\d]{0,999}\d)[A-Za-z0-9._~+/=-]{12,}"),
        r"\1" + HIDDEN,
    ),
    Rule(
        ("authorization",),
        re.compile(
            r"(?i)\b((?:proxy-)?authorization['\"]?\s{0,8}[:=]\s{0,8}['\"]?"
            r"(?:(?:basic|bearer|digest|negotiate|token)\s{1,8})?)[^\s'\",;]+"
        ),
        r"\1" + HIDDEN,
    ),
    Rule(("cookie:",), re.compile(r"(?i)\b((?:set-)?cookie:[ \t]{0,8})[^\s'\"][^\n'\"]*"), r"\1" + HIDDEN),
]
_ANY_TEXT = [*FORMS, *_TEXT_FORMS]


def replaced(text: str, rules: Iterable[Rule]) -> str:
    """Return ``text`` with every match of every rule replaced."""
    lower = text.lower()
    for needs, pattern, instead in rules:
        for sign in needs:
            if sign in lower:
                text = pattern.sub(instead, text)
                break
    return text


class Redactor:
    """Takes secrets out of texts and JSON; knows further ``names`` beside :data:`NAMES`."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        known = [tuple(words) for name in [*NAMES, *names] if (words := _words(name))]
        self._names = frozenset(known)
        self._longest = max(map(len, known))
        # Longest first, as the first that fits is taken.
        spelled = "|".join(r"[_ -]?".join(words) for words in sorted(known, key=lambda w: -len("".join(w))))
        # As a word of its own, behind ``_`` or ``-``, or with a capital within camelCase.
        name = rf"(?:(?<![A-Za-z0-9])|(?<=[a-z])(?=[A-Z]))(?i:{spelled})"
        quoted = r"""(?:[bBrRuU]{0,2}(?:"[^"\n]+"?|'[^'\n]+'?))"""
        #: The first words of the names: a text without any of them needs no further look.
        self._hints = tuple({words[0] for words in known})
        self._name_rules = [
            # ``password=x``, ``"password": "x"``, ``--password x``
            Rule(
                ("=",), re.compile(rf"""({name}\s{{0,8}}=\s{{0,8}})({quoted}|[^\s&;,"'<>]+)"""), _hide_value
            ),
            Rule(
                (":",),
                re.compile(rf"""({name}\\?['"]\s{{0,8}}:\s{{0,8}})({quoted}|\\["'][^"'\\\n]+)"""),
                _hide_value,
            ),
            Rule(
                ("--",),
                re.compile(rf"""(--(?:[A-Za-z0-9]{{1,20}}-){{0,3}}{name}\s{{1,8}})((?!-)[^\s"']+)"""),
                _hide_value,
            ),
        ]

    def text(self, text: str) -> str:
        """Return ``text`` without the secrets in it."""
        text = replaced(text, _ANY_TEXT)
        lower = text.lower()
        return replaced(text, self._name_rules) if any(hint in lower for hint in self._hints) else text

    def is_secret(self, key: str) -> bool:
        """Tell whether what stands under ``key`` is to be hidden whatever it looks like."""
        words = _words(key[-200:])
        return any(tuple(words[-n:]) in self._names for n in range(1, min(self._longest, len(words)) + 1))

    def json(self, value: Any) -> Any:
        """Return a JSON value of the same structure without the secrets in it.

        Under a secret's name texts and numbers are hidden, at any depth; true, false, null and the empty text
        tell nothing and stay. Not recursive: the depth is the caller's limit, not Python's.
        """
        root = [value]
        keys: dict[str, tuple[str, bool]] = {}  # a list of rows has the same ones again and again
        todo: list[tuple[Any, Any, Any, bool]] = [(root, 0, value, False)]
        while todo:
            parent, place, item, secret = todo.pop()
            if isinstance(item, str):
                parent[place] = (HIDDEN if item else "") if secret else self.text(item)
            elif isinstance(item, list):
                parent[place] = copy = list(item)
                todo += [(copy, index, inner, secret) for index, inner in enumerate(item)]
            elif isinstance(item, dict):
                parent[place] = inside = dict[str, Any]()
                for key, inner in item.items():
                    if key not in keys:
                        keys[key] = self.text(key), self.is_secret(key)
                    name, is_secret = keys[key]
                    while name in inside:
                        name += "*"
                    inside[name] = inner
                    todo.append((inside, name, inner, secret or is_secret))
            elif secret and isinstance(item, int | float) and not isinstance(item, bool):
                parent[place] = HIDDEN
        return root[0]


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


def _hide_value(found: re.Match[str]) -> str:
    """Hide a value, but not its quotes: what is around it stays readable."""
    before, value = found.groups()
    if not (opening := re.match(r"""[bBrRuU]{0,2}\\?(["'])""", value)):
        return before + HIDDEN
    closing = opening[1] if value.endswith(opening[1]) and len(value) > opening.end() else ""
    return f"{before}{opening[0]}{HIDDEN}{closing}"


@cache
def redactor(names: tuple[str, ...] = ()) -> Redactor:
    """Return the one redactor for these further names."""
    return Redactor(names)
