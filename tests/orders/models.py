"""An order, of which customers watch the status and the total."""

from django.conf import settings
from django.db import models

from realtime.live import LiveModel


class Order(LiveModel):
    """Somebody's order."""

    live_topic = "order"
    live_fields = ("status", "total", "contact", "packers")

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    status = models.CharField(max_length=20, default="new")
    total = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    contact = models.JSONField(default=dict)
    packers = models.ForeignKey(
        "auth.Group", on_delete=models.SET_NULL, null=True, blank=True, related_name="orders"
    )
    note = models.TextField(default="")
    weight = models.FloatField(null=True, blank=True)

    class Meta:
        """Its own, without anything of the mixin's."""

        ordering = ("id",)

    def __str__(self) -> str:
        return f"Order {self.pk}"


class Parcel(Order):
    """The same rows by another name."""

    class Meta:
        """Without a table."""

        proxy = True
