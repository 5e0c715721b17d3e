"""Somebody who calls the HTTP API, and tasks as the tests of the API need them."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client

from realtime.models import Task
from tests.kit.accounts import access_token

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Caller:
    """A user with an access token: ``caller.get("/api/tasks/")``, ``caller.post(path, {...})``."""

    def __init__(self, user: Any, *permissions: str) -> None:
        codenames = [name.partition(".")[2] for name in permissions]
        user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
        self.user = user
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {access_token(user.username)}"}

    def send(
        self, method: str, path: str, body: bytes = b"", type: str = "application/json", **headers: str
    ) -> HttpResponse:
        """Send a body as it is."""
        sent: Any = self.client.generic(method, path, body, type, headers={**self.headers, **headers})
        return sent

    def get(self, path: str) -> HttpResponse:
        """Read."""
        return self.send("GET", path)

    def post(self, path: str, body: Any = None) -> HttpResponse:
        """Send JSON, or nothing."""
        return self.send("POST", path, b"" if body is None else json.dumps(body).encode())

    def patch(self, task_id: Any, **values: Any) -> HttpResponse:
        """Report on a task."""
        return self.send("PATCH", f"/api/tasks/{task_id}/", json.dumps(values).encode())

    def delete(self, task_id: Any) -> HttpResponse:
        """Delete a task."""
        return self.send("DELETE", f"/api/tasks/{task_id}/")

    def task(self, status: str = "pending", **fields: Any) -> Task:
        """Make a task of this user's, in the database."""
        return Task.objects.create(**{"name": "import", "owner": self.user, "status": status, **fields})


def problem(answer: Any) -> tuple[int, str]:
    """The status and the code of an error, whose shape is checked."""
    body = answer.json()
    assert answer["Content-Type"] == "application/json"
    assert body.keys() - {"fields"} == {"code", "message"}
    return answer.status_code, body["code"]
