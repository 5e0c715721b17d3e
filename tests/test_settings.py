"""The project's settings: what the environment may say, what it means, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.process import ROOT


def run(command: list[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder` with these environment variables and no others."""
    bare = {"PATH": os.environ["PATH"], **env}
    return subprocess.run([sys.executable, *command], cwd=folder, env=bare, capture_output=True, text=True)


def check(**env: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py check` with these environment variables."""
    return run(["manage.py", "check"], ROOT, {"SECRET_KEY": "x" * 50, **env})


def refusal(**env: str) -> str:
    """What `manage.py check` says of an environment that it must refuse, without a traceback."""
    done = check(**env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of its own for the settings, which keep their key and database beside them."""
    (tmp_path / "project").mkdir()
    for name in ("environment.py", "settings.py"):
        shutil.copy(ROOT / "project" / name, tmp_path / "project")
    return tmp_path


def read(project: Path, expression: str, **env: str) -> Any:
    """The value of an expression on the settings `s`, loaded in a new process; a path is text."""
    code = f"import json\nfrom project import settings as s\nprint(json.dumps({expression}, default=str))"
    done = run(["-c", code], project, env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_with_nothing_set_it_is_embedded_and_for_this_machine(project: Path) -> None:
    """The defaults are SQLite, the in-memory layer, loopback hosts, no debugging, one process."""
    words = "[s.DEBUG, s.ALLOWED_HOSTS, s.PORT, s.WORKERS, s.REALTIME, s.CHANNEL_LAYERS, s.DATABASES]"
    debug, hosts, port, workers, realtime, layers, databases = read(project, words)
    assert (debug, port, workers, realtime) == (False, 8000, 1, {})
    assert hosts == ["localhost", "127.0.0.1", "[::1]"]
    assert layers == {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    assert databases["default"]["ENGINE"] == "django.db.backends.sqlite3"
    assert databases["default"]["NAME"] == str(project / "db.sqlite3")


def test_an_empty_variable_is_as_good_as_none(project: Path) -> None:
    """`PORT=` in a file of variables means the default, as does an empty one of every other."""
    names = ["DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "PORT", "WORKERS"]
    words = "[s.DEBUG, s.PORT, s.WORKERS, s.ALLOWED_HOSTS[0], len(s.SECRET_KEY) > 50]"
    assert read(project, words, **dict.fromkeys(names, "")) == [False, 8000, 1, "localhost", True]


def test_the_installation_key_is_made_once_and_private(project: Path) -> None:
    """Without SECRET_KEY the first process makes a key that only this user reads; later ones use it."""
    key = read(project, "s.SECRET_KEY")
    assert read(project, "s.SECRET_KEY") == key == (project / ".secret_key").read_text()
    assert (project / ".secret_key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in project.iterdir()) == [".secret_key", "project"]


def test_processes_that_start_together_agree_on_the_key(project: Path) -> None:
    """Of processes that all find no key, each ends up with the same, whole one."""
    command = [sys.executable, "-c", "from project import settings; print(settings.SECRET_KEY)"]
    env = {"PATH": os.environ["PATH"]}
    started = [
        subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    keys = {process.communicate()[0].strip() for process in started}
    assert keys == {(project / ".secret_key").read_text()}


def test_the_given_key_is_used_and_none_is_written(project: Path) -> None:
    """With SECRET_KEY nothing is written beside the project."""
    assert read(project, "s.SECRET_KEY", SECRET_KEY="given") == "given"
    assert not (project / ".secret_key").exists()


def test_database_url_chooses_postgresql_with_a_pool(project: Path) -> None:
    """Under ASGI connections belong to a pool of the process, never to a thread for longer."""
    url = "postgres://user:secret@db.example:5433/tasks"
    database = read(project, "s.DATABASES['default']", DATABASE_URL=url)
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.example", 5433, "tasks")
    assert database["CONN_MAX_AGE"] == 0
    assert database["OPTIONS"]["pool"]["max_size"] > 1
    assert database["OPTIONS"]["connect_timeout"] > 0
    options = "s.DATABASES['default']['OPTIONS']"
    options = read(project, options, DATABASE_URL=f"{url}?connect_timeout=9", DATABASE_POOL="3")
    assert (options["connect_timeout"], options["pool"]["max_size"]) == (9, 3)


def test_database_url_chooses_an_sqlite_file_made_for_several_writers(project: Path) -> None:
    """Writers wait for each other at the start of a transaction, and readers wait for nobody."""
    database = read(project, "s.DATABASES['default']", DATABASE_URL="sqlite:////data/tasks.sqlite3")
    assert (database["ENGINE"], database["NAME"]) == ("django.db.backends.sqlite3", "/data/tasks.sqlite3")
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


def test_redis_url_chooses_the_redis_layer_with_its_time_outs(project: Path) -> None:
    """The layer's hosts state the time-outs whose defaults changed with redis-py 8."""
    layer = read(project, "s.CHANNEL_LAYERS['default']", REDIS_URL="redis://redis.example:6380/2")
    assert layer["BACKEND"] == "channels_redis.pubsub.RedisPubSubChannelLayer"
    (host,) = layer["CONFIG"]["hosts"]
    assert host["address"] == "redis://redis.example:6380/2"
    assert {"socket_timeout", "health_check_interval", "max_connections"} <= host.keys()


def test_a_redis_behind_a_socket_file_gets_no_options_of_tcp(project: Path) -> None:
    """Its connections refuse them; those over TCP notice a Redis that vanished."""
    hosts = "s.CHANNEL_LAYERS['default']['CONFIG']['hosts'][0]"
    assert "socket_keepalive" not in read(project, hosts, REDIS_URL="unix:///run/redis.sock")
    assert read(project, hosts, REDIS_URL="redis://redis.example")["socket_keepalive_options"]


def test_behind_a_proxy_with_tls_cookies_are_secure(project: Path) -> None:
    """HTTPS=1 trusts the proxy's word; without it nobody's."""
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_PROXY_SSL_HEADER")
    words = f"[getattr(s, name, None) for name in {names}]"
    assert read(project, words, HTTPS="1") == [True, True, ["HTTP_X_FORWARDED_PROTO", "https"]]
    assert read(project, words) == [None, None, None]


def test_hosts_port_and_workers_are_read(project: Path) -> None:
    """ALLOWED_HOSTS is a list with commas; its names may send forms over https through a proxy."""
    words = "[s.ALLOWED_HOSTS, s.CSRF_TRUSTED_ORIGINS, s.PORT, s.WORKERS]"
    hosts, origins, port, workers = read(
        project, words, ALLOWED_HOSTS="a.example, .b.example,", PORT="8001", WORKERS="4"
    )
    assert (hosts, port, workers) == (["a.example", ".b.example"], 8001, 4)
    assert origins == ["https://a.example", "https://*.b.example"]


@pytest.mark.parametrize("text", ["1", "true", "Yes", "ON"])
def test_debug_takes_the_usual_words_on_loopback(project: Path, text: str) -> None:
    """DEBUG may be set for names that only this machine reaches."""
    hosts = "localhost,shop.localhost,127.0.0.1,127.1.2.3,[::1]"
    assert read(project, "s.DEBUG", DEBUG=text, ALLOWED_HOSTS=hosts) is True


@pytest.mark.requirement("O6")
def test_realtime_variables_reach_the_app(project: Path) -> None:
    """`REALTIME_<KEY>` overrides a key: JSON where it parses, else text."""
    env = {"REALTIME_PING_INTERVAL": "2.5", "REALTIME_QUERY_TOKEN": "false", "REALTIME_X": "word"}
    expected = {"PING_INTERVAL": 2.5, "QUERY_TOKEN": False, "X": "word"}
    assert read(project, "s.REALTIME", **env) == expected


REFUSED = {
    "debug on a host that others reach": (
        {"DEBUG": "1", "ALLOWED_HOSTS": "localhost,tasks.example"},
        "DEBUG=1 is for this machine only",
    ),
    "debug that is neither yes nor no": ({"DEBUG": "maybe"}, "DEBUG must be 1 or 0, not 'maybe'"),
    "a port that is no number": ({"PORT": "abc"}, "PORT must be a number from 1 to 65535, not 'abc'"),
    "a port out of range": ({"PORT": "65536"}, "PORT must be a number from 1 to 65535, not '65536'"),
    "a level that is none": ({"LOG_LEVEL": "debug"}, "LOG_LEVEL must be INFO, WARNING, ERROR, not 'DEBUG'"),
    "no workers": ({"WORKERS": "0"}, "WORKERS must be a number from 1 to 1024, not '0'"),
    "a database nobody knows": ({"DATABASE_URL": "files://here"}, "DATABASE_URL cannot be read"),
    "a Redis without a scheme": ({"REDIS_URL": "localhost:6379"}, "REDIS_URL must begin with redis://"),
    "processes that cannot hear each other": ({"WORKERS": "2"}, "WORKERS is 2"),
    "an unknown key": ({"REALTIME_PING_INTERVALL": "5"}, "no setting 'PING_INTERVALL'"),
    "a value out of range": (
        {"REALTIME_DB_THREADS": "65"},
        "REALTIME['DB_THREADS'] is 65; it must be a whole number from 2 to 64",
    ),
    "a value of the wrong type": (
        {"REALTIME_TASK_GROUPS": "on"},
        "REALTIME['TASK_GROUPS'] is 'on'; it must be true or false",
    ),
    "a deadline before the answer": ({"REALTIME_PONG_TIMEOUT": "30"}, "must be greater than"),
}


@pytest.mark.requirement("O6")
@pytest.mark.parametrize("what", REFUSED)
def test_check_refuses_by_name_and_says_what_is_allowed(what: str) -> None:
    """A setting that cannot work stops `manage.py check` with its name and what it may be."""
    env, words = REFUSED[what]
    assert words in refusal(**env)


@pytest.mark.requirement("O6")
def test_check_accepts_a_deployment_of_several_processes() -> None:
    """With Redis and PostgreSQL any number of processes is fine; nothing is contacted for it."""
    done = check(
        WORKERS="8", REDIS_URL="rediss://redis.example/0", DATABASE_URL="postgres://u:p@db.example/tasks"
    )
    assert done.returncode == 0, done.stderr


def test_every_page_has_a_policy_without_inline_code(project: Path) -> None:
    """The Content-Security-Policy names this site only and allows nothing inline."""
    policy = read(project, "s.CONTENT_SECURITY_POLICY")
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "*" not in policy
