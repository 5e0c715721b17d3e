"""The browser's client obeys the table of close codes; its pauses are random, and end when there is hope."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute

from tests import scripted
from tests.pages import Visit

NOW = "2026-11-21T00:50:18.491Z"
HELLO = {"type": "connected", "user_id": "1", "position": 10, "heartbeat_interval": 30}
#: Of many draws of the fourth pause least, most and mean, in parts of what it can be; and the limit of all.
DRAWS = """
async () => {
  const { jittered, TIMING } = await import("/static/realtime/timing.js");
  const longest = 8 * TIMING.backOff;
  const drawn = Array.from({ length: 2000 }, () => jittered(3, TIMING) / longest);
  const limit = Math.max(...Array.from({ length: 2000 }, () => jittered(99, TIMING)));
  return [Math.min(...drawn), Math.max(...drawn), drawn.reduce((a, b) => a + b) / 2000, limit];
}
"""

Act = list[dict[str, Any] | int]


def said(code: str) -> dict[str, Any]:
    """The last words before a close."""
    return {"type": "error", "code": code, "message": f"Because of {code}."}


class Script:
    """A server that plays a part: the acts are its connections, one after the other, the last for ever."""

    def __init__(self, *acts: Act) -> None:
        self.acts = acts
        self.came = 0
        self.asked: list[dict[str, Any]] = []

    def play(self, line: WebSocketRoute) -> None:
        """Say the frames of the act, those after a hello when the subscribe has come; a number is a close."""
        act = self.acts[min(self.came, len(self.acts) - 1)]
        self.came += 1

        def answer(text: str | bytes) -> None:
            message = json.loads(text)
            if message["action"] != "subscribe":
                return
            self.asked.append(message)
            served = {name: message[name] for name in ("task_ids", "topics", "request_id")}
            served |= {"recovered": True} if "after" in message else {}
            position = message.get("after", 10)
            say(line, [{"type": "subscribed", "id": position, "position": position, **served}, *act[1:]])

        line.on_message(answer)
        say(line, act[:1] if act[0] == HELLO else act)


def say(line: WebSocketRoute, words: Act) -> None:
    """Send the frames; a number closes with that code."""
    for word in words:
        if isinstance(word, int):
            line.close(code=word)
        else:
            line.send(json.dumps({"timestamp": NOW, **word}))


@pytest.fixture
def act(visit: Callable[..., Visit]) -> Callable[..., tuple[Page, Script]]:
    """Start a client on a page whose sockets are those of the script."""

    def begin(*acts: Act, **timing: int) -> tuple[Page, Script]:
        visited, script = visit(user=None, path=scripted.BLANK), Script(*acts)
        visited.forgiven = scripted.NO_ICON
        visited.page.route_web_socket(re.compile(r"/ws"), script.play)
        visited.page.reload()
        scripted.start(visited.page, token="a token", timing=timing)
        return visited.page, script

    return begin


def wait_state(page: Page, state: str) -> None:
    """Wait until the client is in that state."""
    page.wait_for_function("state => client.state === state", arg=state, timeout=30_000)


@pytest.mark.requirement("W10")
@pytest.mark.parametrize(
    ("code", "problem"), [(4400, "too_many_bad_messages"), (4403, "disconnected"), (4413, "message_too_big")]
)
def test_no_retry_where_the_table_says_never(
    act: Callable[..., tuple[Page, Script]], code: int, problem: str
) -> None:
    """The page is told the server's reason, and nothing is tried again, not even when there is hope."""
    page, script = act([HELLO, said(problem), code], backOff=10, backOffLimit=10)
    wait_state(page, "denied")
    line = page.evaluate("client.line")
    assert (line["reason"], line["code"]) == (f"Because of {problem}.", problem)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.wait_for_timeout(100)  # ten pauses
    assert script.came == 1


@pytest.mark.requirement("W10")
def test_a_slow_consumer_comes_back_at_once_with_its_cursor(
    act: Callable[..., tuple[Page, Script]],
) -> None:
    """4410: no pause, once; and the subscribe goes on where the last one was cut."""
    heard = {"type": "heartbeat", "id": 17}
    slow = [HELLO, heard, said("slow_consumer"), 4410]
    page, script = act(slow, [HELLO], backOff=600_000, backOffLimit=600_000)
    page.wait_for_function("() => client.state === 'live' && states.some((one) => one.retryIn === 0)")
    assert [asked.get("after") for asked in script.asked] == [None, 17]


@pytest.mark.requirement("W10")
def test_an_error_of_the_server_is_met_with_growing_random_pauses(
    act: Callable[..., tuple[Page, Script]],
) -> None:
    """4500: each pause lies between nothing and twice what the one before could be, up to the limit."""
    page, _ = act(*[[said("internal"), 4500]] * 12, [HELLO], backOff=10, backOffLimit=80)
    wait_state(page, "live")
    pauses = page.evaluate("states.map((one) => one.retryIn).filter((pause) => pause !== null)")
    assert len(set(pauses)) == 12
    assert max(pauses) > 10
    assert all(0 <= pause <= min(80, 10 * 2**number) for number, pause in enumerate(pauses))
    least, most, mean, limit = page.evaluate(DRAWS)
    assert least < 0.02 < 0.98 < most <= 1
    assert 0.4 < mean < 0.6
    assert 29_000 < limit <= 30_000


def test_a_tab_that_is_looked_at_again_does_not_wait(act: Callable[..., tuple[Page, Script]]) -> None:
    """The server asked for ten minutes; the user is there now."""
    leave = {"type": "reconnect", "after_ms": 600_000, "reason": "restarting"}
    page, script = act([HELLO, leave, 4503], [HELLO])
    page.wait_for_function("() => client.line.retryIn === 600000", timeout=30_000)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_state(page, "live")
    assert script.came == 2
