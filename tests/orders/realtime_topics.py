"""The shop's topics; found by their module's name."""

from typing import Any

from realtime import Topic, register
from realtime.live import ModelTopic
from tests.orders.models import Order


@register
class Orders(ModelTopic):
    """One order: for its customer, and for staff."""

    model = Order

    def allows(self, user: Any, key: str) -> bool:
        """Tell whether it is the user's, or the user is staff."""
        rows = self.rows(key) if user.is_staff else self.rows(key).filter(customer=user)
        return rows.exists()


@register
class News(Topic):
    """One for all, without a key and without a snapshot."""

    name = "news"
    keyed = False

    def allows(self, user: Any, key: str) -> bool:
        """Tell that everybody may."""
        return True


@register
class Rooms(Topic):
    """Rooms by their number, for the groups that are called so; what is in one is told by a snapshot."""

    name = "room"

    def allows(self, user: Any, key: str) -> bool:
        """Tell whether the user is in the group."""
        return user.groups.filter(name=f"room {int(key)}").exists()

    def snapshot(self, key: str) -> dict[str, Any]:
        """Return the orders of those who are in it."""
        return {"orders": Order.objects.filter(customer__groups__name=f"room {key}").count()}
