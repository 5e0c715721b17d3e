"""How deeply JSON may be nested: the one bound of whatever comes in, over HTTP, from a shell or from code.

Whoever walks, writes or reads a value calls itself once for each level, here, in databases and in clients,
and each gives up elsewhere (Python near 1,000 levels, what has been used up by its caller included). So a
value must be refused where it comes in, far below all of them.
"""

from __future__ import annotations

from typing import Any

#: Arrays and objects within each other: more than anybody means, and far from what breaks a database.
DEPTH = 100


def is_deeper(value: Any, levels: int = DEPTH) -> bool:
    """Tell whether more than so many arrays and objects stand within each other, however many more."""
    inner = [value]
    for _ in range(levels + 1):
        containers = [item for item in inner if isinstance(item, dict | list)]
        if not containers:
            return False
        inner = [
            below for item in containers for below in (item.values() if isinstance(item, dict) else item)
        ]
    return True
