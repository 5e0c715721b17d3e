"""``POST /broadcast``: send a notice to people, and take it back."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from realtime import broadcasts
from realtime.api.base import RealtimeView
from realtime.api.schema import describe, error
from realtime.api.serializers import Json, Moment, Strict, Text, Word, YesOrNo, checked
from realtime.atomicity import outside_transactions
from realtime.exceptions import FORBIDDEN, IDEMPOTENCY_CONFLICT, NOT_FOUND, Refused
from realtime.models import Broadcast
from realtime.models.broadcast import LEVELS, TYPES
from realtime.permissions import may_broadcast

KEY_HEADER = "Idempotency-Key"


class BroadcastBody(Strict):
    """What is sent, to whom and when; ``broadcasts.send`` says more."""

    message = Text(max_length=4000, help_text="Plain text; markup is taken out.")
    title = Text(max_length=200, required=False, allow_blank=True)
    type = Word(choices=TYPES, required=False)
    level = Word(choices=LEVELS, required=False)
    data = Json(required=False, allow_null=True, help_text="At most 16,384 bytes.")
    audience = Json(
        required=False,
        help_text='"everyone", "staff", {"kind": "group", "group": id or name} or '
        '{"kind": "users", "users": [ids]}.',
    )
    starts_at = Moment(required=False)
    ends_at = Moment(required=False, help_text="An hour after the start if left out.")
    dismissible = YesOrNo(required=False)
    idempotency_key = Text(max_length=200, required=False, help_text="Or the header Idempotency-Key.")


class Sent(serializers.Serializer[Any]):
    """What became of a broadcast."""

    status = serializers.CharField(help_text="`sent`, or `scheduled` while its start is to come.")
    message = serializers.CharField()
    recipient_count = serializers.IntegerField(help_text="Connections, of all live processes.")
    complete = serializers.BooleanField(help_text="False when a process did not tell in time.")
    id = serializers.UUIDField()


class Retracted(serializers.Serializer[Any]):
    """What became of a notice that was taken back."""

    status = serializers.CharField(help_text="`retracted`.")
    id = serializers.UUIDField()


class MayBroadcast(IsAuthenticated):
    """Who has the permission ``realtime.add_broadcast``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raise ``Refused`` for who is known and may not."""
        if not super().has_permission(request, view):
            return False
        if not may_broadcast(request.user):
            raise Refused(FORBIDDEN, "Broadcasts need the permission realtime.add_broadcast.")
        return True


# With ATOMIC_REQUESTS its event would be seen only after the answer, which tells whom it has reached.
@method_decorator(outside_transactions, name="dispatch")
class Broadcasts(RealtimeView):
    """Send a notice to every connection of its audience."""

    permission_classes = (MayBroadcast,)
    throttle_scope = "realtime-broadcast"

    @describe(
        operation_id="broadcast_send",
        request=BroadcastBody,
        parameters=[OpenApiParameter(KEY_HEADER, str, OpenApiParameter.HEADER)],
        responses={200: Sent, 409: error(409, IDEMPOTENCY_CONFLICT)},
    )
    def post(self, request: Request) -> Response:
        """Answer when every live process has told whom it reached, or after a second or two."""
        options = checked(BroadcastBody(data=request.data))
        options.setdefault("idempotency_key", request.headers.get(KEY_HEADER, ""))
        broadcast = broadcasts.send(**options, sender=request.user)
        return Response(told(broadcast))


class OneBroadcast(RealtimeView):
    """Take a notice back."""

    permission_classes = (MayBroadcast,)

    @describe(operation_id="broadcast_retract", responses={200: Retracted, 404: error(404)})
    def delete(self, request: Request, broadcast_id: str) -> Response:
        """Remove it live; doing it twice changes nothing."""
        broadcast = broadcasts.find(broadcast_id)
        if broadcast is None:
            raise Refused(NOT_FOUND, "No such broadcast.")
        broadcasts.retract(broadcast, by=request.user)
        return Response({"status": "retracted", "id": str(broadcast.pk)})


def told(broadcast: Broadcast) -> dict[str, Any]:
    """Return the answer for a broadcast that was just sent, or was sent before with the same key."""
    if broadcast.published_at is None:
        reached, status = broadcasts.Reached(0, False), "scheduled"
        message = f"The broadcast will be sent at {broadcast.starts_at.isoformat()}."
    else:
        reached, status = broadcasts.wait_for_reach(broadcast), "sent"
        count = reached.recipients
        message = f"The broadcast reached {count} connection{'' if count == 1 else 's'}."
    return {
        "status": status,
        "message": message,
        "recipient_count": reached.recipients,
        "complete": reached.complete,
        "id": str(broadcast.pk),
    }
