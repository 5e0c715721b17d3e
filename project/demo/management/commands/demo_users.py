"""`manage.py demo_users`: the demonstration's two users, and how to log in as them."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils.crypto import salted_hmac


def demo_password(username: str) -> str:
    """The user's password: the same at each start, another in each installation, stored nowhere."""
    return salted_hmac("project.demo.users", username, algorithm="sha256").hexdigest()[:12]


class Command(BaseCommand):
    """Makes the users that are missing; one that exists is never touched, he may be somebody's."""

    help = "Creates the users demo and staff of the demonstration and prints their passwords."

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse outside DEBUG, which the settings allow on loopback only."""
        if not settings.DEBUG:
            raise CommandError("Demonstration users are for DEBUG=1 only.")
        for username, is_staff in (("demo", False), ("staff", True)):
            self.stdout.write(f"  {username:<6} {self._password(username, is_staff)}")

    def _password(self, username: str, is_staff: bool) -> str:
        """The user's password, or what became of it."""
        users = get_user_model().objects
        password = demo_password(username)
        user = users.filter(username=username).first()
        if user is None:
            create = users.create_superuser if is_staff else users.create_user
            create(username=username, password=password)
        elif not user.check_password(password):
            return f"(has another password; manage.py changepassword {username})"
        return password
