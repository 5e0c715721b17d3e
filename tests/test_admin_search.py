"""What the search of tasks in the admin finds: the same on both databases."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from realtime.models import Task

LIST = "/admin/realtime/task/"

Search = Callable[..., list[str]]


@pytest.fixture
def search(engine: str, make_user: Callable[..., Any]) -> Search:
    """The names of the tasks that a search finds, in the list's order."""
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))

    def names(term: str, **parameters: str) -> list[str]:
        response = client.get(f"{LIST}?{urlencode({'q': term, **parameters})}")
        assert response.status_code == 200, response.get("Location")
        return [task.name for task in response.context["cl"].result_list]

    return names


def tasks(*names: str, **fields: Any) -> list[Task]:
    """Tasks of these names, each a second younger than the one before."""
    begin = timezone.now()
    return [
        Task.objects.create(name=name, created_at=begin + timedelta(seconds=number), **fields)
        for number, name in enumerate(names)
    ]


def test_a_name_is_found_by_how_it_begins(search: Search) -> None:
    """The newest first; capitals, what is inside of a name and single words of it do not count."""
    tasks("import users", "Import users", "import", "export import", "impor", "imports")
    assert search("import") == ["imports", "import", "import users"]
    assert search("  import u ") == ["import users"]
    assert search("Import") == ["Import users"]
    assert search("users") == []
    assert len(search("")) == 6
    assert search("import", o="5") == ["import users", "import", "imports"]


@pytest.mark.parametrize(
    "name",
    ["100% done", "a_b", "back\\slash", "it's", '"quoted"', "ß", "日本", "\ud7ff", "\U0010ffff", "-1", "é"],
)
def test_signs_are_only_signs(search: Search, name: str) -> None:
    """Nothing in a term is a pattern, whatever its place among the code points."""
    tasks(name, f"{name} and more", "100 done", "axb", "back", "zebra", "\ue000")
    assert search(name) == [f"{name} and more", name]


def test_an_owner_is_found_by_the_whole_username(search: Search, make_user: Callable[..., Any]) -> None:
    """With the tasks whose name begins like it; a part of a username finds nobody."""
    anna, hannah = make_user("anna"), make_user("annalena")
    tasks("import", "export", owner=anna)
    tasks("report", owner=hannah)
    tasks("annals")
    tasks("anna's", owner=anna)
    assert sorted(search("anna")) == ["anna's", "annals", "export", "import"]
    assert search("annalena") == ["report"]
    assert search("hannah") == []


def test_an_id_finds_the_task_and_its_retries(search: Search) -> None:
    """In any notation of it."""
    [task] = tasks("import", status="failed")
    tasks("other")
    Task.objects.filter(pk=task.retry().pk).update(name="again")
    for term in (str(task.pk), task.pk.hex, str(task.pk).upper()):
        assert search(term) == ["again", "import"]
    assert search(str(uuid.uuid4())) == []
    assert search(str(task.pk)[:8]) == []


def test_search_and_filter_work_together(search: Search) -> None:
    """Only what both leave."""
    tasks("import 1", "import 2")
    tasks("import 3", "export", status="failed")
    assert search("import", status__exact="failed") == ["import 3"]
    assert search("import", status__exact="pending", o="5") == ["import 1", "import 2"]
    assert search("import", status__exact="nonsense") == []
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    assert search("import", created_at__gte=tomorrow) == []


@pytest.mark.parametrize("term", ["\x00", "a\x00", "x" * 5000, "'; DROP TABLE realtime_task; --", "%s", "{}"])
def test_no_term_breaks_the_page(search: Search, term: str) -> None:
    """It finds nothing, or, where the form refuses it, is no search."""
    tasks("import")
    assert search(term) == (["import"] if "\x00" in term else [])
