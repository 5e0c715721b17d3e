"""Orders to a process of the cluster, in a file: they arrive while everything else is dead."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


class Orders:
    """A small file of JSON that one process writes and others look at."""

    def __init__(self, path: Path | str) -> None:
        """Use that file; it may not be there yet."""
        self.path = Path(path)
        self._read: dict[str, Any] = {}
        self._stamp: tuple[int, int] | None = None

    def read(self) -> dict[str, Any]:
        """Return what is ordered now; the file is read only when it was replaced."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        if (stamp := (found.st_ino, found.st_mtime_ns)) != self._stamp:
            self._read, self._stamp = json.loads(self.path.read_text()), stamp
        return self._read

    def write(self, **orders: Any) -> None:
        """Order this in addition; None takes an order back."""
        kept = {**self.read(), **orders}
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False) as draft:
            json.dump({name: value for name, value in kept.items() if value is not None}, draft)
        # In one step: nobody reads half of an order.
        os.replace(draft.name, self.path)
