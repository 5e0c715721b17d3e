"""The examples of docs/integrations.md do what they say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from realtime.models import Task
from tests.kit.requirements import ROOT
from tests.leasing import end_renewals
from tests.reporting import end_reports

TEXT = (ROOT / "docs" / "integrations.md").read_text()
TRACKING = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
OTHERS = re.findall(r"^```py\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.django_db(transaction=True)
def test_the_examples_of_tracking_run() -> None:
    """One after the other, as somebody would type them; each task is completed and has its owner."""
    user = get_user_model().objects.create_user("ada")
    names: dict[str, Any] = {"user": user, "rows": ["a", "b", "c"], "import_row": lambda row: None}
    for body in TRACKING:
        exec(compile(body, "docs/integrations.md", "exec"), names)
    found = list(Task.objects.order_by("created_at").values_list("name", "status", "owner"))
    names_told = ["Import"] * 4 + ["Search", "Import", "Export"]
    assert found == [(name, "completed", user.pk) for name in names_told]
    end_renewals()
    end_reports()


@pytest.mark.parametrize("body", OTHERS)
def test_the_examples_of_queues_are_python(body: str) -> None:
    """What they do is tested with real workers."""
    compile(body, "docs/integrations.md", "exec")
