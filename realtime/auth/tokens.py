"""Access and refresh tokens (RFC 7519, by simplejwt): verified, and refused after a logout.

Our tokens carry ``auth_time`` (OpenID Connect Core §2): when the user proved who he is, with its fraction.
A refreshed token keeps it, so a logout reaches everything that came from the login before it.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed, ExpiredTokenError, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token

from realtime import log
from realtime.auth.identity import fingerprint, viewer_of
from realtime.events import USER_CHANGED, Credential, Viewer
from realtime.exceptions import INVALID_TOKEN, REVOKED, TOKEN_EXPIRED, USER_INACTIVE, Refused
from realtime.models import Event, Revocation

AUTH_TIME = "auth_time"
#: Our claim: so many characters of the fingerprint of the password.
PASSWORD, FINGERPRINT = "pwd", 16
KIND = "token"
#: How long our doors' access tokens live where the project's ``SIMPLE_JWT`` does not say. simplejwt's own
#: five minutes would cut every connection that a client does not look after.
LIFETIME = timedelta(minutes=60)
#: What reading a token may raise: PyJWT lets through what JSON raises for a header that is nested too
#: deeply, simplejwt what Python raises for a time that no calendar has.
_UNREADABLE = (TokenError, ValueError, TypeError, OverflowError, RecursionError)


def validated(raw: str, classes: Iterable[type[Token]] | None = None) -> Token:
    """Return the access token behind ``raw``, or one of the given classes; a refresh token is none.

    Raises ``Refused`` for one that is malformed, expired, of another type or signed by another key.
    """
    if not _is_canonical(raw):
        raise Refused(INVALID_TOKEN)
    expired = False
    for token_class in classes or api_settings.AUTH_TOKEN_CLASSES:
        try:
            return token_class(cast(Any, raw.encode()))
        except ExpiredTokenError:
            expired = True
        except _UNREADABLE:
            continue
    raise Refused(TOKEN_EXPIRED if expired else INVALID_TOKEN)


def _is_canonical(raw: str) -> bool:
    """Tell whether the signature is written as RFC 4648 §3.5 wants it.

    The last character has bits to spare, and Python passes over characters that do not belong there: else
    other texts would stand for the same token.
    """
    signature = raw.rpartition(".")[2]
    try:
        plain = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    except ValueError:
        return False
    return urlsafe_b64encode(plain).rstrip(b"=").decode() == signature


def user_of(token: Token) -> Any:
    """Return the token's user. Raises ``Refused``: unknown, inactive, logged out, another password since."""
    try:
        user = JWTAuthentication().get_user(token)
    except AuthenticationFailed as error:
        inactive = "inactive" in str(getattr(error, "detail", {}).get("code", ""))
        raise Refused(USER_INACTIVE if inactive else INVALID_TOKEN) from None
    except (*_UNREADABLE, ValidationError):
        raise Refused(INVALID_TOKEN) from None
    check_revocation(str(user.pk), issued_at(token))
    # However the password was changed, and if it was while the log-in was under way.
    if not constant_time_compare(token.payload.get(PASSWORD) or _short(user), _short(user)):
        raise Refused(REVOKED)
    return user


def verify(raw: str) -> Viewer:
    """Return who the access token stands for. Reads the database; raises ``Refused``."""
    token = validated(raw)
    user = user_of(token)
    credential = Credential(KIND, issued_at=issued_at(token), password=fingerprint(user))
    return viewer_of(user, credential, float(token["exp"]))


def issued_at(token: Token) -> float:
    """Return when the login was that this token comes from, in Unix time; 0 when it does not say.

    A token of simplejwt's own has whole seconds only, and counts from the beginning of its second.
    """
    moment = token.payload.get(AUTH_TIME, token.payload.get("iat", 0))
    return float(moment) if isinstance(moment, int | float) else 0.0


def stamp(token: Token, user: Any) -> Token:
    """Note in a fresh token that its user has just proved who he is, and with which password."""
    token[AUTH_TIME] = time.time()
    token[PASSWORD] = _short(user)
    return token


def with_our_lifetime(token: Token) -> Token:
    """Let a fresh access token live for :data:`LIFETIME`, unless the project says how long.

    Only a token that our own door gives: whatever else in the project makes tokens keeps simplejwt's default.
    """
    if "ACCESS_TOKEN_LIFETIME" not in getattr(settings, "SIMPLE_JWT", {}):
        token.set_exp(lifetime=LIFETIME)
    return token


def _short(user: Any) -> str:
    return fingerprint(user)[:FINGERPRINT]


def _revocations() -> QuerySet[Revocation]:
    # Where they are written: a replica that lags behind would let in who has just logged out.
    return Revocation.objects.using(log.database())


def check_revocation(user_id: str, issued: float) -> None:
    """Raise ``Refused`` when the user's tokens of that time were logged out."""
    if _revocations().filter(user_id=user_id, issued_before__gte=issued).exists():
        raise Refused(REVOKED)


def load_revocations(user_ids: list[str]) -> dict[str, float]:
    """Return for those users who logged out up to when their tokens are refused."""
    rows = _revocations().filter(user_id__in=user_ids)
    return dict(cast(Any, rows.values_list("user_id", "issued_before")))


def revoke(user_id: str) -> None:
    """Refuse all tokens that were issued to the user until now, everywhere, and end their connections."""
    with transaction.atomic(using=log.database()):
        log.begin_write(log.database())
        now = time.time()
        _revocations().update_or_create(
            user_id=user_id,
            # A process whose clock is slow takes back nothing.
            defaults={"issued_before": Greatest(F("issued_before"), now)},
            create_defaults={"issued_before": now},
        )
        log.append([Event(kind=USER_CHANGED, owner=user_id, created_at=timezone.now())])
