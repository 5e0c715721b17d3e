"""How many connections a process holds, and how fast each may talk: counted here, refused by the doors."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from realtime.addresses import UNKNOWN
from realtime.conf import conf
from realtime.exceptions import RESTARTING, TOO_MANY_CONNECTIONS, TOO_MANY_MESSAGES, Refused

#: Bursts of messages beyond the rate that a client may send before its socket is closed.
PATIENCE = 5
#: Leading bits of an IPv6 address that stand for one household or server (RFC 6177).
IPV6_SITE = 64


class Place:
    """One open connection, from the door to its end. Leave it in a ``finally``."""

    __slots__ = ("_group", "_places", "_tell", "_user_id", "sent_away")

    def __init__(self, places: Places, group: str) -> None:
        self._places, self._group, self._user_id = places, group, ""
        self._tell: Callable[[], None] | None = None
        #: The process is about to end: the client must go elsewhere.
        self.sent_away = False

    def belongs_to(self, user_id: str) -> None:
        """Count the connection for its user. Raises ``Refused`` when the user has too many."""
        users = self._places.users
        if users[user_id] >= conf.MAX_CONNECTIONS_PER_USER:
            raise Refused(
                TOO_MANY_CONNECTIONS, f"At most {conf.MAX_CONNECTIONS_PER_USER} connections per user."
            )
        self._user_id = user_id
        users[user_id] += 1

    def when_sent_away(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when the client must go elsewhere, at once if that is so already."""
        self._tell = tell
        if self.sent_away:
            tell()

    def send_away(self) -> None:
        """Tell the client to go elsewhere."""
        self.sent_away = True
        if self._tell is not None:
            self._tell()

    def leave(self) -> None:
        """Count the connection no longer; safe to call twice."""
        places = self._places
        if self not in places.open:
            return
        places.open.discard(self)
        self._tell = None
        for counter, key in ((places.groups, self._group), (places.users, self._user_id)):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]
        if not places.open and places.empty is not None:
            places.empty.set()


class Places:
    """This process's open connections, WebSockets and event streams together."""

    def __init__(self) -> None:
        self.open: set[Place] = set()
        self.groups: Counter[str] = Counter()
        self.users: Counter[str] = Counter()
        #: Nobody is let in any more.
        self.closing = False
        #: Set when the last one leaves, for who waits for that.
        self.empty: asyncio.Event | None = None

    def enter(self, address: str) -> Place:
        """Count a connection from that address; asks no database, so it comes before the credential.

        Raises ``Refused`` when there are too many, of this address or at all, or the process is ending.
        Clients whose address nobody knows (a server behind a Unix socket) count only together.
        """
        if self.closing:
            raise Refused(RESTARTING)
        if len(self.open) >= conf.MAX_CONNECTIONS:
            raise Refused(TOO_MANY_CONNECTIONS)
        group = group_of(address)
        if group != UNKNOWN and self.groups[group] >= conf.MAX_CONNECTIONS_PER_ADDRESS:
            raise Refused(
                TOO_MANY_CONNECTIONS,
                f"At most {conf.MAX_CONNECTIONS_PER_ADDRESS} connections per address.",
            )
        place = Place(self, group)
        self.open.add(place)
        self.groups[group] += 1
        return place


#: Those of this process.
places = Places()


def group_of(address: str) -> str:
    """Return what is counted as one address: with IPv6 its network, of which a client has 2^64 to choose."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> (128 - IPV6_SITE) << (128 - IPV6_SITE))}/{IPV6_SITE}"
    return str(found)


class Bucket:
    """A token bucket: ``burst`` at once, ``rate`` per second in the long run."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._level, self._looked = self._burst, clock()

    def take(self) -> bool:
        """Take one token if there is one."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._looked) * self._rate)
        self._looked = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class MessageRate:
    """How fast one client sends: too fast is refused message by message, far too fast ends the socket."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        rate, burst = conf.MESSAGE_RATE, conf.MESSAGE_BURST
        self._allowed = Bucket(rate, burst, clock)
        self._borne = Bucket(rate, burst * PATIENCE, clock)

    def take(self) -> bool:
        """Count a message and tell whether it came within the rate.

        Raises ``Refused`` for a client that goes on and on.
        """
        if self._allowed.take():
            return True
        if not self._borne.take():
            raise Refused(TOO_MANY_MESSAGES)
        return False
