"""The form with which staff send a broadcast."""

from __future__ import annotations

ADD, LIST = "/admin/realtime/broadcast/add/", "/admin/realtime/broadcast/"
#: What a browser sends of the form as it is opened, with a message typed in.
FORM = {
    "type": "announcement",
    "level": "info",
    "title": "",
    "message": "Soon.",
    "dismissible": "on",
    "audience_kind": "everyone",
    "group": "",
    "users": "",
    "starts_at_0": "",
    "starts_at_1": "",
    "ends_at_0": "",
    "ends_at_1": "",
}
