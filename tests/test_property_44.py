"""Property 44: every valid credential of every kind gets `connected`, every other one never does."""

from __future__ import annotations

import asyncio
import base64
import json
import string
from itertools import permutations
from typing import Any, NamedTuple

import jwt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests import doors
from tests.doors import CONNECTED, Key
from tests.flows import Live, Person

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
BASE64URL = string.ascii_letters + string.digits + "-_"
CODES = {"invalid_token", "token_expired", "revoked", "user_inactive", "not_authenticated", "invalid_ticket"}
#: Headers by which libraries for JSON Web Tokens have been talked into accepting a forged one.
HEADERS: list[Any] = [
    *(
        {"alg": each, "typ": "JWT"}
        for each in ("none", "None", "NONE", "nOnE", "", "HS384", "RS256", "ES256")
    ),
    *({"alg": each} for each in (None, [], {}, 0, ["HS256"], "../../../dev/null")),
    *({"alg": "HS256", "kid": each} for each in ("/dev/null", "' OR 1=1 --", 5, None)),
    {"alg": "HS256", "jwk": {"kty": "oct", "k": ""}},
    {"alg": "HS256", "jku": "http://127.0.0.1/keys"},
    {"alg": "HS256", "crit": ["exp"], "exp": 0},
    {"alg": "HS256", "b64": False, "crit": ["b64"]},
    *({}, [], None, "HS256", 1),
]
DEEP = b"[" * 3000


class World(NamedTuple):
    """A person with a good token, and all that is not one."""

    person: Person
    other: Person
    bad: dict[str, str]


def encode(part: object) -> str:
    """Bytes, or a value as JSON, in base64url."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def prepare(live: Live) -> World:
    """People, and every kind of token that was once good or never was."""
    person, other, idle, gone, left = [await live.person() for _ in range(5)]
    claims = jwt.decode(person.token, options={"verify_signature": False})
    bad = {"expired": await asyncio.to_thread(live.site.token, person.name, -5)}
    bad["refresh"] = (await doors.login(live, person))["refresh"]
    bad["logged out"], bad["inactive"], bad["deleted"] = left.token, idle.token, gone.token
    bad["foreign"] = jwt.encode(claims, "another key, long enough for HMAC with SHA-256", "HS256")
    bad["spent ticket"] = await doors.ticket_of(live, person.token)
    assert await doors.at_socket(live, doors.ticket(bad["spent ticket"])) == CONNECTED
    assert await doors.logout(live, headers=doors.header(left.token).headers) == 200
    await live.run("User.objects.filter(pk=pk).update(is_active=False)", pk=idle.id)
    await live.run("User.objects.get(pk=pk).delete()", pk=gone.id)
    return World(person, other, bad)


@st.composite
def mutations(draw: st.DrawFn, world: World) -> str:
    """A text that is nearly the person's good token."""
    good = world.person.token
    head, body, signature = good.split(".")
    place = draw(st.integers(0, len(good) - 1))
    kind = draw(
        st.sampled_from(["flip", "cut", "insert", "swap", "mix", "header", "claims", "repeat", "text"])
    )
    match kind:
        case "flip":
            place = draw(st.sampled_from([place, len(good) - 1]))  # the last has bits to spare
            text = good[:place] + draw(st.sampled_from(BASE64URL + ".=")) + good[place + 1 :]
        case "cut":
            text = good[:place]
        case "insert":
            added = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=2000)
            text = good[:place] + draw(added) + good[place:]
        case "swap":
            text = ".".join(draw(st.sampled_from(list(permutations([head, body, signature])))))
        case "mix":
            sources = [world.person.token, world.other.token, *world.bad.values()]
            text = ".".join((draw(st.sampled_from(sources)).split(".") * 3)[n] for n in range(3))
        case "header":
            forged = draw(st.sampled_from([*map(encode, HEADERS), encode(DEEP)]))
            text = f"{forged}.{body}.{draw(st.sampled_from(['', signature, encode(b'')]))}"
        case "claims":
            claims = json.loads(base64.urlsafe_b64decode(body + "=="))
            claims |= draw(st.sampled_from([{"exp": 10**12}, {"user_id": "1"}, {"token_type": "refresh"}]))
            key = draw(st.sampled_from(["", "secret", "x" * 64]))
            text = draw(st.sampled_from([f"{head}.{encode(claims)}.{signature}", signed(claims, key)]))
        case "repeat":
            text = draw(
                st.sampled_from([good * 2, f"{good}.", f".{good}", f"{good}.{signature}", f"{good}="])
            )
        case _:
            text = draw(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200))
    # A mix may give back a whole token of somebody's.
    assume(text not in (good, world.other.token))
    return text


def signed(claims: dict[str, Any], key: str) -> str:
    """A token that somebody signed who does not know the site's key."""
    parts = f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
    algorithm = jwt.get_algorithm_by_name("HS256")
    return f"{parts}.{encode(algorithm.sign(parts.encode(), key.encode()))}"


def places(text: str) -> list[Key]:
    """Wherever a client may put that text; a subprotocol has few letters to choose from."""
    found = [doors.header(text), doors.query(text), doors.ticket(text)]
    return [*found, doors.pair(text)] if text and set(text) <= set(BASE64URL + ".") else found


@pytest.mark.requirement("44", "K9")
def test_property_44_websocket_authentication(live: Live) -> None:
    """Mutated, forged, expired, revoked, foreign, wrong-type: an error and 4401, or 401; no `connected`."""
    world = asyncio.run(prepare(live))

    @EXAMPLES
    @given(st.data())
    def never_connects(data: st.DataObject) -> None:
        text = data.draw(st.sampled_from([*world.bad.values()]) | mutations(world))
        key = data.draw(st.sampled_from(places(text)))
        knocks = [doors.at_socket] if key.subprotocols else [doors.at_socket, doors.at_stream]
        assert asyncio.run(data.draw(st.sampled_from(knocks))(live, key)) in CODES

    never_connects()


@pytest.mark.requirement("44")
def test_property_44_every_valid_credential_connects(live: Live) -> None:
    """Of every kind, at every door it may be brought to, for whichever user."""

    async def people() -> list[tuple[Person, str]]:
        found = [await live.person() for _ in range(3)]
        return [(person, await doors.session(live, person)) for person in found]

    everybody = asyncio.run(people())

    async def key_of(kind: str, person: Person, session: str, scheme: str) -> Key:
        if kind == "ticket":
            return doors.ticket(await doors.ticket_of(live, person.token))
        made = {
            "header": Key({"Authorization": f"{scheme} {person.token}"}),
            "query": doors.query(person.token),
            "pair": doors.pair(person.token),
            "cookie": doors.cookie(live, session),
        }
        return made[kind]

    @EXAMPLES
    @given(
        st.sampled_from(everybody),
        st.sampled_from(["header", "query", "pair", "ticket", "cookie"]),
        st.sampled_from([doors.at_socket, doors.at_stream]),
        st.sampled_from(["Bearer", "bearer", "BEARER"]),
    )
    def connects(who: tuple[Person, str], kind: str, knock: Any, scheme: str) -> None:
        async def come() -> str:
            key = await key_of(kind, *who, scheme)
            return str(await (doors.at_socket if key.subprotocols else knock)(live, key))

        assert asyncio.run(come()) == CONNECTED

    connects()
