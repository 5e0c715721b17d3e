"""Credentials that the database decides about: tickets, and tokens that were logged out."""

from __future__ import annotations

from django.db import models


class Ticket(models.Model):
    """A single use of somebody's credential, for a client that can send no header.

    Only a digest of the ticket is kept. ``credential`` is that of who asked for it, and ``expires_with``
    when that one ends: a ticket gives nothing its owner did not have.
    """

    digest = models.CharField(max_length=64, primary_key=True)
    user_id = models.CharField(max_length=64)
    credential = models.JSONField()
    expires_with = models.FloatField(null=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        """Nobody edits this by hand."""

        default_permissions = ()

    def __str__(self) -> str:
        return f"ticket of user {self.user_id}"


class Revocation(models.Model):
    """Tokens of a user that were issued up to ``issued_before`` are refused everywhere."""

    user_id = models.CharField(max_length=64, primary_key=True)
    #: Unix time with its fraction: a token issued in the same second, after the logout, is good.
    issued_before = models.FloatField()

    class Meta:
        """Nobody edits this by hand."""

        default_permissions = ()

    def __str__(self) -> str:
        return f"tokens of user {self.user_id}"
