"""The table that the demonstration's CSV imports fill."""

from django.db import models


class LibraryFile(models.Model):
    """One file of Python's standard library, as a row of the inventory names it."""

    path = models.CharField(max_length=500, unique=True)
    size = models.PositiveBigIntegerField(help_text="bytes")
    modified = models.DateTimeField()

    class Meta:
        verbose_name = "library file"

    def __str__(self) -> str:
        return self.path
