"""Secrets in what a worker tells: hidden before they are stored, so that no surface can show them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from realtime.models import Event, Task, TaskLog
from realtime.redaction import HIDDEN, redactor

pytestmark = pytest.mark.requirement("T7")

SECRET = "q1w2e3r4t5z6u7i8"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nq1w2e3r4t5z6u7i8\n-----END RSA PRIVATE KEY-----"
TEXTS = [
    f"password={SECRET}",
    f"db_password = '{SECRET}'",
    f"dbPassword={SECRET}&x=1",
    f"connect(host, password=b'{SECRET}')",
    f'{{"api_key": "{SECRET}"}}',
    f"{{'client_secret': '{SECRET}'}}",
    f'"{{\\"token\\": \\"{SECRET}\\"}}"',
    f"curl -H 'Authorization: Basic {SECRET}' x",
    f"Authorization: {SECRET}",
    f"Proxy-Authorization: Digest {SECRET}",
    f"curl -H 'Authorization: Bearer {SECRET}' x",
    f"sent with Bearer {SECRET}",
    f"Cookie: a=b; sessionid={SECRET}",
    f"Set-Cookie: x={SECRET}; Path=/",
    f"import --password {SECRET} file.csv",
    f"import --db-password={SECRET} file.csv",
    f"postgres://ann:{SECRET}@db.example.com/x",
    f"redis://:{SECRET}@localhost:6379/0",
    f"said {JWT}!",
    f"%22{JWT}%22",
    f"tkt_{SECRET}",
    f"ghp_{SECRET}{SECRET}",
    PEM,
    PEM[:60],
]
HARMLESS = [
    "120 of 300 rows",
    "The password has expired; a token is needed.",
    "password: This field is required.",
    "tokens=512, token_count=7, max_tokens=9",
    '{"token_count": 5, "password_changed": true}',
    "bearer of bad news, bearer certificates",
    "https://example.com:8000/a@b?page=2",
    "ann@example.com: 12:30",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "secretary=Ann",
    "--dry-run --tokens 5",
]
PLAIN = redactor()


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_in_a_text_is_hidden(text: str) -> None:
    """By the name before it, or by its form; what is around it can still be read."""
    safe = PLAIN.text(f"before {text}")
    assert HIDDEN in safe
    for secret in (SECRET, JWT.split(".")[2], "MIIEow"):
        assert secret not in safe
    assert safe.startswith("before ")
    assert PLAIN.text(safe) == safe


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay_as_they_are(text: str) -> None:
    """A message is there to be read."""
    assert PLAIN.text(text) == text


SECRET_KEYS = [
    *("password", "passwd", "PASSWORD", "db_password", "client_secret", "clientSecret", "token"),
    *("access_token", "apiKey", "api_key", "X-Api-Key", "Authorization", "Set-Cookie", "cookie"),
    *("private_key", "credentials", "AWS_SECRET_ACCESS_KEY", "SECRET_KEY", "sessionid"),
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_what_stands_under_a_secret_name_is_hidden(key: str) -> None:
    """In any notation of the name, at any depth below it; what tells nothing stays."""
    assert PLAIN.json({key: SECRET, "rows": 3}) == {key: HIDDEN, "rows": 3}
    nested = {"config": [{key: {"a": [SECRET, 17, 1.5, None, True, ""]}}]}
    assert PLAIN.json(nested) == {"config": [{key: {"a": [HIDDEN, HIDDEN, HIDDEN, None, True, ""]}}]}


def test_a_name_counts_as_whole_words_at_its_end() -> None:
    """A count of tokens is a result like any other."""
    result = {
        "token_count": 512,
        "tokens": 3,
        "tokenizer": "bpe",
        "password_changed_at": "2026-11-21",
        "secretary": "Ann",
        "keys": ["a"],
        "primary_key": 7,
    }
    assert PLAIN.json(result) == result


def test_a_secret_is_hidden_in_keys_and_values_anywhere() -> None:
    """No entry of the result is lost, though two keys become alike."""
    value = {f"redis://:{SECRET}@a": 1, f"redis://:{SECRET}2@a": [f"password={SECRET}"]}
    assert PLAIN.json(value) == {"redis://:***@a": 1, "redis://:***@a*": ["password=***"]}


TEXT = st.text() | st.lists(
    st.sampled_from(
        [*TEXTS, "password", "=", ":", '"', "'", "\\", " ", "--", "token", "Bearer ", "://", "@", "eyJ", "."]
    )
).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.sampled_from(SECRET_KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)


def shape(value: Any) -> Any:
    """A value's structure, without what its leaves and keys are."""
    if isinstance(value, dict):
        return [shape(inner) for inner in value.values()]
    return ("list", [shape(inner) for inner in value]) if isinstance(value, list) else None


@given(JSON)
def test_the_structure_of_a_result_stays(value: Any) -> None:
    """Nothing fails on any value, nothing is lost or moved, and what was not given is not changed."""
    before = repr(value)
    assert shape(PLAIN.json(value)) == shape(value)
    assert repr(value) == before


@given(
    st.recursive(
        st.integers() | st.booleans(), lambda i: st.lists(i) | st.dictionaries(st.sampled_from("abc"), i)
    )
)
def test_numbers_and_harmless_names_stay(value: Any) -> None:
    """Only texts, and what has a secret's name, are looked into."""
    assert PLAIN.json(value) == value


@given(TEXT)
def test_hiding_what_is_hidden_changes_nothing(text: str) -> None:
    """A row is cleaned again at each of its saves: that must not make it another one."""
    once = PLAIN.text(text)
    assert PLAIN.text(once) == once


@pytest.mark.parametrize(
    "piece",
    [
        "eyJ",
        "eyJ.",
        "-eyJ",
        "a",
        "a_",
        "password",
        "password=",
        "--a-",
        "://",
        "://a:",
        "tkt_",
        "bearer ",
        'token":',
    ],
)
def test_the_time_it_takes_grows_with_the_text_only(piece: str) -> None:
    """A text made to be searched again and again takes no longer than others: no quadratic search."""

    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        runs = []
        for _ in range(3):
            begin = time.perf_counter()
            PLAIN.text(text)
            runs.append(time.perf_counter() - begin)
        return min(runs)

    # Sixteen times the text: sixteen times the time, and not 256 times.
    assert seconds(64_000) < 100 * max(seconds(4_000), 0.0001)


def test_deep_results_do_not_end_the_program() -> None:
    """Whatever JSON can be read can be cleaned."""
    value: Any = f"password={SECRET}"
    for _ in range(5000):
        value = [value]
    cleaned = PLAIN.json(value)
    for _ in range(5000):
        (cleaned,) = cleaned
    assert cleaned == "password=***"


def everything(task: Task) -> str:
    """All that is stored of a task, and thus all that can be shown."""
    rows = Task.objects.filter(pk=task.pk).values("name", "phase", "message", "error", "traceback", "result")
    lines = TaskLog.objects.values_list("text", flat=True)
    return f"{list(rows)} {list(lines)} {[event.data for event in Event.objects.all()]}"


def tell_all(task: Task) -> None:
    """Give it the secret in every way in which a worker can."""
    task.start()
    task.log(f"password={SECRET}")
    task.report(message=f"password={SECRET}", phase=f"token={SECRET}")
    Task.objects.filter(pk=task.pk).update(message=f"secret={SECRET}", result={"a": {"token": SECRET}})
    task.result = {"api_key": SECRET}
    task.save()
    row = Task.objects.get(pk=task.pk)
    row.message = f"api_key={SECRET}"
    Task.objects.bulk_update([row], ["message"])
    task.fail(f"password={SECRET}", traceback=f"postgres://ann:{SECRET}@db/x")


def test_nothing_that_is_stored_holds_a_secret(engine: str) -> None:
    """By every way in: save, update, bulk writes, report, the end, lines. No surface can show it then."""
    with override_settings(REALTIME={"PROGRESS_INTERVAL": 0}):
        task = Task.objects.create(
            name=f"sync redis://:{SECRET}@host", result={"password": SECRET, "rows": 3}
        )
        assert Task.objects.get().result == {"password": HIDDEN, "rows": 3}
        tell_all(task)
        Task.objects.bulk_create([Task(name=f"token={SECRET}")])
    assert SECRET not in everything(task)
    assert everything(task).count(HIDDEN) > 10
    assert task.error == Task.objects.get(pk=task.pk).error == f"password={HIDDEN}"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_site_names_its_own_secrets_or_wants_none_hidden(engine: str) -> None:
    """`REDACT_NAMES` adds to the names; with `REDACT` false everything is stored as it is told."""
    with override_settings(REALTIME={"REDACT_NAMES": ["licence key"]}):
        task = Task.objects.create(name=f"licence_key={SECRET}", result={"licenceKey": SECRET, "key": "a"})
    assert (task.name, task.result) == (f"licence_key={HIDDEN}", {"licenceKey": HIDDEN, "key": "a"})
    with override_settings(REALTIME={"REDACT": False}):
        task = Task.objects.create(name=f"password={SECRET}", result={"password": SECRET})
    assert (task.name, task.result) == (f"password={SECRET}", {"password": SECRET})


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_name_of_full_length_stays_one(engine: str) -> None:
    """What is put in the place of a short secret may be longer than it; the column is not."""
    name = "password=x " + "y" * 244
    assert Task.objects.create(name=name).name == ("password=*** " + "y" * 244)[:255]
