"""``TASK_GROUPS``: people's own consumers, as docs/topics.md writes one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db import connections

from realtime import database
from realtime.models import Task
from tests.kit.requirements import ROOT
from tests.peers import process_hub

DEADLINE = 30


def example() -> Any:
    """Return the application of the document: its consumer at its address."""
    text = (ROOT / "docs/topics.md").read_text()
    blocks = dict(re.findall(r"^```python example=(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    names: dict[str, Any] = {"__name__": "example"}
    for name in ("consumer", "routing"):
        exec(compile(blocks[name], f"docs/topics.md {name}", "exec"), names)
    return URLRouter(names["websocket_urlpatterns"])


def connection(application: Any, task: Task, user: Any) -> WebsocketCommunicator:
    """Return a WebSocket of that user's, as a project's middleware hands it on."""
    communicator = WebsocketCommunicator(application, f"/ws/tasks/{task.pk}/")
    communicator.scope["user"] = user
    return communicator


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_the_consumer_of_the_document_follows_a_task(
    engine: str, make_user: Callable[..., Any], settings: Any
) -> None:
    """It tells how the task is, then each change once, whatever the layer repeats; others stay out."""
    settings.REALTIME = {"TASK_GROUPS": True}
    ann, bob = await database.run(make_user), await database.run(make_user)
    task = await database.run(lambda: Task.objects.create(name="import", owner=ann))
    application = example()
    async with process_hub():
        refused = connection(application, task, bob)
        assert (await refused.connect(DEADLINE))[0] is False
        client = connection(application, task, ann)
        assert (await client.connect(DEADLINE))[0] is True
        assert await client.receive_json_from(DEADLINE) == {"status": "pending", "progress": 0}
        await database.run(task.start)
        assert await client.receive_json_from(DEADLINE) == {"status": "running", "progress": 0}
        repeated = {"type": "task.update", "version": 2, "data": {"status": "running", "progress": 0}}
        await get_channel_layer().group_send(f"task.{task.pk}", repeated)
        await database.run(task.complete)
        assert await client.receive_json_from(DEADLINE) == {"status": "completed", "progress": 100}
        await database.run(task.delete)
        assert (await client.receive_output(DEADLINE))["type"] == "websocket.close"
        await client.disconnect(timeout=DEADLINE)
    await sync_to_async(connections.close_all)()
