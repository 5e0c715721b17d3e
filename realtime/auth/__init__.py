"""Who is calling: every credential a connection may bring, tried in one order. No anonymous."""

from realtime.auth.connection import authenticate, verified
from realtime.auth.credentials import BEARER, CREDENTIALS_KEY, Presented, find, header, hide

__all__ = ["BEARER", "CREDENTIALS_KEY", "Presented", "authenticate", "find", "header", "hide", "verified"]
