"""Who is calling: every credential a connection may bring, tried in one order. No anonymous."""

from realtime.auth.connection import authenticate, verified
from realtime.auth.credentials import BEARER, CREDENTIALS_KEY, Bearer, find, header, hide

__all__ = ["BEARER", "CREDENTIALS_KEY", "Bearer", "authenticate", "find", "header", "hide", "verified"]
