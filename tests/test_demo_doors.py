"""The demonstration's doors: the page, the log-in form, the cookie, the admin, the users."""

import re
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import httpx
import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from project.demo.management.commands.demo_users import demo_password
from tests.kit import leaks
from tests.kit.clients import SocketClient
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.profiles import OBSERVED

PASSWORD = "a password of the tests"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server under daphne with two users, one of them staff."""
    with Site(env=OBSERVED) as site:
        site.create_user("demo", password=PASSWORD)
        site.create_user("staff", password=PASSWORD, superuser=True)
        yield site.start("daphne")


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """A browser without JavaScript: it keeps cookies and follows redirects."""
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=30) as client:
        yield client


def csrf_of(page: httpx.Response) -> str:
    """The CSRF token of the page's form."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text
    return found[1]


def log_in(browser: httpx.Client, name: str, password: str = PASSWORD, at: str = "/") -> httpx.Response:
    """Ask for a page, fill in the form that comes instead, and return what follows."""
    form = browser.get(at)
    fields = {"csrfmiddlewaretoken": csrf_of(form), "username": name, "password": password, "next": at}
    return browser.post(form.url, data=fields)


def test_the_page_needs_a_log_in_and_comes_back_after_it(browser: httpx.Client) -> None:
    """Who is not logged in gets the form, and after it the page he wanted."""
    asked = browser.get("/", follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (302, "/accounts/login/?next=/")
    page = log_in(browser, "demo")
    assert (page.status_code, page.url.path) == (200, "/")
    assert "My tasks" in page.text


def test_a_wrong_password_gets_the_form_again_with_the_reason(browser: httpx.Client) -> None:
    """The form says that name or password is wrong, and there is no session."""
    page = log_in(browser, "demo", password="wrong")
    assert page.url.path == "/accounts/login/"
    assert 'role="alert">Please enter a correct username and password' in page.text
    assert "sessionid" not in browser.cookies


def test_logging_out_ends_the_session(browser: httpx.Client) -> None:
    """The button in the page's head ends the session; the page then needs a log-in again."""
    page = log_in(browser, "demo")
    browser.post("/accounts/logout/", data={"csrfmiddlewaretoken": csrf_of(page)})
    assert browser.get("/").url.path == "/accounts/login/"


def test_the_pages_have_nothing_inline(browser: httpx.Client) -> None:
    """No script with code, no style, no handler in an attribute stands in a page of ours."""
    for page in (browser.get("/accounts/login/"), log_in(browser, "demo")):
        scripts = re.findall(r"<script([^>]*)>", page.text)
        assert all("src=" in script for script in scripts)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page.text)


async def test_the_cookie_opens_a_socket_for_the_pages_of_this_site(
    server: Server, browser: httpx.Client
) -> None:
    """The session that opened the page opens its socket; a page of another site gets no use of it."""
    log_in(browser, "demo")
    cookie = {"Cookie": f"sessionid={browser.cookies['sessionid']}"}
    async with await SocketClient.connect(server, headers=cookie | {"Origin": server.url}) as client:
        connected = await client.wait("connected")
    assert connected["user_id"] == "1"
    async with await SocketClient.connect(server, headers=cookie | {"Origin": "http://evil.test"}) as client:
        assert (await client.wait("error"))["code"] == "origin_not_allowed"


def test_the_page_is_kept_in_no_cache(browser: httpx.Client) -> None:
    """Neither a proxy nor the Back button shows it to somebody who has logged out."""
    page = log_in(browser, "demo")
    assert "no-store" in page.headers["cache-control"]
    assert "private" in page.headers["cache-control"]


def test_the_page_holds_no_token(browser: httpx.Client) -> None:
    """Neither an access token nor the key of the session stands in it, and nothing gives tokens to pages."""
    page = log_in(browser, "demo")
    assert [*leaks.find(page.text)] == []
    assert browser.cookies["sessionid"] not in page.text
    assert browser.get("/demo/token/").status_code == 404


def ask(browser: httpx.Client, path: str, as_script: bool = False, **fields: str) -> httpx.Response:
    """Send a form of the page, or what its script sends."""
    headers = {"Accept": "application/json"} if as_script else {"Accept": "text/html"}
    token = csrf_of(browser.get("/"))
    return browser.post(path, data=fields | {"csrfmiddlewaretoken": token}, headers=headers)


def task_on(page: httpx.Response) -> str:
    """The id of the newest task on the page."""
    found = re.search(r'task-id="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def test_the_forms_start_cancel_and_retry(browser: httpx.Client) -> None:
    """Each leads back to the page, which shows what came of it; what cannot be is said in words."""
    log_in(browser, "demo")
    page = ask(browser, "/tasks/", job="archive")
    assert page.url.path == "/"
    task = task_on(page)
    assert "A pending task cannot be retried." in ask(browser, f"/tasks/{task}/retry/").text
    assert 'data-state="cancelled"' in ask(browser, f"/tasks/{task}/cancel/").text
    assert task_on(ask(browser, f"/tasks/{task}/retry/")) != task
    answer = ask(browser, "/tasks/", as_script=True, job="nonsense")
    assert (answer.status_code, answer.json()) == (400, {"message": "There is no such job."})
    assert ask(browser, "/tasks/", as_script=True, job="archive").status_code == 201


@pytest.mark.requirement("T3")
def test_the_forms_are_for_ones_own_tasks_only(browser: httpx.Client) -> None:
    """Another's task looks like none, for staff too; and a link changes nothing."""
    log_in(browser, "demo")
    task = task_on(ask(browser, "/tasks/", job="archive"))
    for deed in ("cancel", "retry"):
        assert browser.get(f"/tasks/{task}/{deed}/").status_code == 405
    with httpx.Client(base_url=browser.base_url, follow_redirects=True, timeout=30) as other:
        log_in(other, "staff")
        for deed in ("cancel", "retry"):
            assert ask(other, f"/tasks/{task}/{deed}/").status_code == 404
            assert other.post(f"/tasks/{task}/{deed}/").status_code == 403
    assert 'data-state="waiting"' in browser.get("/").text


def test_staff_get_into_the_admin(browser: httpx.Client) -> None:
    """Through the admin's own form, and with a link to it on the page."""
    admin = log_in(browser, "staff", at="/admin/")
    assert (admin.status_code, admin.url.path) == (200, "/admin/")
    assert "Site administration" in admin.text
    assert 'href="/admin/"' in browser.get("/").text


def test_others_do_not_get_into_the_admin(browser: httpx.Client) -> None:
    """A user who is not staff is told so, and sees no link to it."""
    page = log_in(browser, "demo", at="/admin/")
    assert page.url.path == "/admin/login/"
    assert "staff account" in page.text
    assert 'href="/admin/"' not in log_in(browser, "demo").text


def demo_users() -> str:
    """What the command `demo_users` prints."""
    output = StringIO()
    call_command("demo_users", stdout=output)
    return output.getvalue()


def test_demo_users_is_refused_without_debug(engine: str, settings: Any) -> None:
    """Only DEBUG allows users with printed passwords, and the settings allow DEBUG on loopback only."""
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG=1 only"):
        demo_users()


def test_demo_users_prints_passwords_that_work_and_changes_nobody(
    engine: str, settings: Any, make_user: Callable[..., Any]
) -> None:
    """Two users, one of them a superuser; a second run leaves them, and a namesake, as they are."""
    settings.DEBUG = True
    namesake = make_user("demo", password="his own")
    printed = demo_users()
    assert "demo   (has another password; manage.py changepassword demo)" in printed
    assert demo_password("demo") not in printed
    staff = authenticate(username="staff", password=demo_password("staff"))
    assert staff is not None
    assert staff.is_superuser
    assert staff.has_perm("realtime.add_broadcast")
    assert f"staff  {demo_password('staff')}" in printed
    hashes = [namesake.password, staff.password]
    assert demo_users() == printed
    for user in (namesake, staff):
        user.refresh_from_db()
    assert [namesake.password, staff.password] == hashes


def test_demo_passwords_differ_by_user_and_by_installation(settings: Any) -> None:
    """They follow from the secret key: nobody knows them from the source."""
    passwords = {demo_password("demo"), demo_password("staff")}
    settings.SECRET_KEY = "another installation"
    assert len(passwords | {demo_password("demo"), demo_password("staff")}) == 4
