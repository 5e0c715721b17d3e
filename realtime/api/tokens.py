"""``/api/token/`` and what belongs to it: log in, refresh, log out; and tickets."""

from __future__ import annotations

from typing import Any, cast

from django.utils.module_loading import import_string
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from realtime.api.base import RealtimeView, viewer
from realtime.api.schema import describe, error
from realtime.api.serializers import Text
from realtime.api.throttling import FailureThrottle
from realtime.auth import tickets, tokens
from realtime.conf import conf
from realtime.exceptions import (
    INVALID_CREDENTIALS,
    NOT_AUTHENTICATED,
    Refused,
)

_ObtainSerializer: Any = import_string(api_settings.TOKEN_OBTAIN_SERIALIZER)
_RefreshSerializer: Any = import_string(api_settings.TOKEN_REFRESH_SERIALIZER)


class LoginSerializer(_ObtainSerializer):
    """The project's own serializer; its tokens say when the user logged in."""

    @classmethod
    def get_token(cls, user: Any) -> Token:
        """Return the refresh token; the access token copies its claims."""
        return tokens.stamp(super().get_token(user), user)

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Return the tokens, of which the access token lives as long as ours do."""
        given: dict[str, str] = super().validate(attrs)
        if "access" in given:
            given["access"] = str(tokens.with_our_lifetime(AccessToken(cast(Any, given["access"].encode()))))
        return given


class RefreshSerializer(_RefreshSerializer):
    """Refuses a refresh token that was logged out; what it gives is as old as the login."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Return the new tokens. Raises ``Refused``."""
        refresh = refresh_token(attrs["refresh"])
        tokens.user_of(refresh)
        given: dict[str, str] = super().validate(attrs)
        issued = tokens.issued_at(refresh)
        classes: tuple[tuple[str, type[Token]], ...] = (("access", AccessToken), ("refresh", RefreshToken))
        for name, token_class in classes:
            if name in given:
                token = token_class(cast(Any, given[name].encode()))
                token[tokens.AUTH_TIME] = issued
                given[name] = str(tokens.with_our_lifetime(token) if name == "access" else token)
        return given


def refresh_token(raw: str) -> Token:
    """Return the refresh token behind ``raw``; an access token is none. Raises ``Refused``."""
    return tokens.validated(raw, (RefreshToken,))


class Pair(serializers.Serializer[Any]):
    """Tokens: the access token opens the doors, the refresh token gives a new one."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class Renewed(serializers.Serializer[Any]):
    """A new access token, and a new refresh token where the project rotates them."""

    access = serializers.CharField()
    refresh = serializers.CharField(required=False)


class LoggedOut(serializers.Serializer[Any]):
    """The answer to a logout."""

    status = serializers.CharField()


class TicketAnswer(serializers.Serializer[Any]):
    """A ticket, and for how many seconds it can be used."""

    ticket = serializers.CharField()
    expires_in = serializers.FloatField()


class Guessable(RealtimeView):
    """A view that a stranger may call with what might be guessed; only failures count against its rate."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_scope = "realtime-login"
    throttle: FailureThrottle | None = None

    def get_throttles(self) -> list[FailureThrottle]:
        """Return the one throttle, kept for the end of the call."""
        self.throttle = FailureThrottle()
        return [self.throttle]

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Count only what was refused for its credentials."""
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        if self.throttle is not None and answer.status_code not in (401, 429):
            self.throttle.succeeded()
        return answer


class Login(Guessable):
    """Give an access and a refresh token for a name and a password."""

    @describe(
        operation_id="log_in",
        request=LoginSerializer,
        responses={200: Pair, 401: error(401, INVALID_CREDENTIALS)},
    )
    def post(self, request: Request) -> Response:
        """Answer ``{"access", "refresh"}``."""
        serializer = LoginSerializer(data=request.data, context={"request": request})
        try:
            serializer.is_valid(raise_exception=True)
        except AuthenticationFailed:
            # One answer for an unknown name, a wrong password and an inactive account.
            raise Refused(INVALID_CREDENTIALS) from None
        return Response(serializer.validated_data)


class Refresh(Guessable):
    """Give a new access token for a refresh token."""

    @describe(
        operation_id="refresh_token",
        request=RefreshSerializer,
        responses={200: Renewed, 401: error(401)},
    )
    def post(self, request: Request) -> Response:
        """Answer ``{"access"}``, and ``refresh`` where the project rotates them."""
        serializer = RefreshSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        return Response(serializer.validated_data)


class LogoutSerializer(serializers.Serializer[Any]):
    """What a logout may bring instead of an access token that has expired meanwhile."""

    refresh = Text(required=False)


class Logout(RealtimeView):
    """Refuse every token that the caller was given until now, everywhere, and end what they opened."""

    permission_classes = (AllowAny,)

    @describe(operation_id="log_out", request=LogoutSerializer, responses={200: LoggedOut})
    def post(self, request: Request) -> Response:
        """Take an access token, the session, or ``{"refresh"}``; answer ``{"status": "logged_out"}``."""
        serializer = LogoutSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        if request.user is not None and request.user.is_authenticated:
            user_id = viewer(request).user_id
        elif raw := serializer.validated_data.get("refresh"):
            user_id = str(tokens.user_of(refresh_token(raw)).pk)
        else:
            raise Refused(NOT_AUTHENTICATED)
        tokens.revoke(user_id)
        return Response({"status": "logged_out"})


class Tickets(RealtimeView):
    """Give a ticket: it opens one WebSocket or event stream, within seconds, and is worth nothing after."""

    @describe(operation_id="get_ticket", request=None, responses={200: TicketAnswer})
    def post(self, request: Request) -> Response:
        """Answer ``{"ticket", "expires_in"}``, the time in seconds."""
        caller = viewer(request)
        if caller.credential is None:
            raise Refused(NOT_AUTHENTICATED)
        ticket = tickets.issue(request.user, caller.credential, caller.expires_at)
        return Response({"ticket": ticket, "expires_in": conf.TICKET_SECONDS})
