"""Who may come in and what keeps others out: logins, cookies, forms of other pages, headers, names that are markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from instanter.console.security import HEADERS, is_own_path
from instanter.console.sessions import Sessions
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Overloaded
from instanter.foundation.ids import Ids
from instanter.foundation.limits import (
    CONSOLE_FORM_BYTES_MAX,
    CONSOLE_FORM_FIELDS_MAX,
    CONSOLE_SESSION_S_MAX,
    CONSOLE_SESSIONS_MAX,
    CONSOLE_SESSIONS_PER_KEY_MAX,
)

from .desk import OWN, Desk, with_desk

JOBS = "/console/jobs"


def test_nobody_sees_a_page_without_a_key_and_the_login_leads_on_to_it(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        away = await desk.get(f"{JOBS}?sort=-kind")
        assert away.status_code == 303
        assert away.headers["location"] == "/console/login?next=%2Fconsole%2Fjobs%3Fsort%3D-kind"
        form = await desk.get(away.headers["location"])
        assert 'name="next" value="/console/jobs?sort=-kind"' in form.text
        wrong = await desk.log_in("ik_of_nobody")
        assert wrong.status_code == 401
        assert "no such key counts" in wrong.text
        sent = {"key": await desk.key_of("admin"), "next": f"{JOBS}?sort=-kind"}
        come_in = await desk.http.post("/console/login", data=sent, headers=OWN)
        assert (come_in.status_code, come_in.headers["location"]) == (303, f"{JOBS}?sort=-kind")
        assert (await desk.get(JOBS)).status_code == 200

    with_desk(tmp_path, work)


def test_the_cookie_is_for_the_console_alone_and_no_script_or_other_site_has_it(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        key = await desk.key_of("admin")
        told = (await desk.log_in(key)).headers["set-cookie"]
        assert {"httponly", "path=/console", "samesite=strict"} <= {part.strip().lower() for part in told.split(";")}
        assert "secure" not in told.lower(), "over loopback it would not come back"
        assert key not in told
        over_tls = await desk.http.post(
            "/console/login", data={"key": key},
            headers={"Origin": "https://shop.localhost", "Sec-Fetch-Site": "same-origin"},
        )  # fmt: skip
        assert "Secure" in over_tls.headers["set-cookie"]

    with_desk(tmp_path, work)


def test_a_public_key_is_no_login(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        key = await desk.api.key("write", "decide", public=True)
        refused = await desk.log_in(key.text)
        assert refused.status_code == 403
        assert "public key" in refused.text
        assert "set-cookie" not in refused.headers

    with_desk(tmp_path, work)


FOREIGN: list[dict[str, str]] = [
    {}, {"Origin": "http://evil.example"}, {"Origin": "http://shop.localhost:81"}, {"Origin": "null"},
    {"Origin": "http://shop.localhost", "Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://shop.localhost", "Sec-Fetch-Site": "none"},
]  # fmt: skip


def test_an_act_of_another_page_is_refused(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.log_in(await desk.key_of("admin"))
        await desk.get(JOBS)
        for headers in FOREIGN:
            for path in ("/console/login", "/console/logout", JOBS):
                refused = await desk.act(path, headers=headers)
                assert refused.status_code == 403, (path, headers)
                assert "only a page of this console" in refused.text
        assert (await desk.get(JOBS)).status_code == 200, "still logged in"

    with_desk(tmp_path, work)


def test_a_form_without_the_token_of_the_session_is_refused(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.log_in(await desk.key_of("admin"))
        await desk.get(JOBS)
        for csrf in ("", "00", "\u00e9", "f" * 64):
            refused = await desk.act("/console/logout", csrf=csrf)
            assert refused.status_code == 403
            assert "not of your session" in refused.text

    with_desk(tmp_path, work)


def test_logging_out_ends_the_session_also_for_who_kept_the_cookie(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.log_in(await desk.key_of("admin"))
        await desk.get(JOBS)
        cookie = dict(desk.http.cookies)
        left = await desk.act("/console/logout")
        assert (left.status_code, left.headers["location"]) == (303, "/console/login")
        desk.http.cookies.update(cookie)
        assert (await desk.get(JOBS)).status_code == 303

    with_desk(tmp_path, work)


def test_a_session_ends_with_its_key_and_by_itself(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        key = await desk.api.key(role="admin")
        await desk.log_in(key.text)
        assert (await desk.get(JOBS)).status_code == 200
        await desk.engine.credentials.revoke_key("default", key.id, actor="test")
        assert (await desk.get(JOBS)).status_code == 303
        part = await desk.get(JOBS, headers={"HX-Request": "true"})
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/console/login?next=%2Fconsole%2Fjobs")
        await desk.log_in(await desk.key_of("admin"))
        desk.clock.advance(CONSOLE_SESSION_S_MAX * 1_000 - 1)
        assert (await desk.get(JOBS)).status_code == 200
        desk.clock.advance(1)
        assert (await desk.get(JOBS)).status_code == 303

    with_desk(tmp_path, work)


def test_a_link_from_another_site_loads_itself_anew_so_that_the_cookie_comes_along(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        first = await desk.get(JOBS, headers={"Sec-Fetch-Site": "cross-site"})
        assert first.status_code == 200
        assert '<meta http-equiv="refresh" content="0">' in first.text

    with_desk(tmp_path, work)


def test_with_dev_nobody_logs_in_and_forms_are_guarded_all_the_same(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert (await desk.get(JOBS)).status_code == 200
        assert (await desk.get("/console/login")).headers["location"] == "/console"
        assert (await desk.act("/console/logout", csrf="0")).status_code == 403
        assert (await desk.act("/console/logout", headers={"Origin": "http://evil.example"})).status_code == 403
        assert (await desk.act("/console/logout")).status_code == 303, "a form of its own page is let in"

    with_desk(tmp_path, work, dev=True)


def test_every_answer_has_the_headers_of_a_page(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        outside = [await desk.get(path) for path in ("/console", JOBS, "/console/login", "/console/static/x/y.js")]
        outside += [await desk.act("/console/login"), await desk.http.put(JOBS)]
        await desk.log_in(await desk.key_of("admin"))
        paths = ("/console", JOBS, "/console/nowhere", f"{JOBS}?csv=main", f"{JOBS}?x=1")
        inside = [await desk.get(path) for path in paths]
        for reply in (*outside, *inside):
            for name, value in HEADERS.items():
                assert reply.headers[name] == value, (reply.url, name)
        policy = HEADERS["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'")
        for reply in inside:
            assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", reply.text), reply.url

    with_desk(tmp_path, work)


def test_files_may_be_kept_since_their_address_changes_with_them(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        page = (await desk.get("/console/login")).text
        sheet = re.search(r'href="(/console/static/[0-9a-f]{16}/console.css)"', page)
        assert sheet
        kept = await desk.get(sheet[1])
        assert kept.headers["content-type"] == "text/css; charset=utf-8"
        assert "immutable" in kept.headers["cache-control"]
        assert (await desk.get("/console/static/0123456789abcdef/console.css")).status_code == 404
        assert (await desk.get(sheet[1].replace("console.css", "..%2Fapp.py"))).status_code == 404

    with_desk(tmp_path, work)


def test_the_first_page_of_the_server_leads_to_the_console(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert (await desk.http.get("/")).json()["look"]["pages for people"] == "/console"
        assert 'href="/console"' in (await desk.http.get("/", headers={"Accept": "text/html"})).text

    with_desk(tmp_path, work)


def test_a_form_that_is_too_large_or_none_is_refused(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.log_in(await desk.key_of("admin"))
        await desk.get(JOBS)
        large = await desk.act(JOBS, text="x" * CONSOLE_FORM_BYTES_MAX)
        many = await desk.act(JOBS, **{f"f{number}": "1" for number in range(CONSOLE_FORM_FIELDS_MAX)})
        json = await desk.http.post(JOBS, json={"csrf": desk.csrf}, headers=OWN)
        assert [reply.status_code for reply in (large, many, json)] == [413, 400, 415]

    with_desk(tmp_path, work)


def test_what_a_key_is_not_good_for_is_told_and_not_offered(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.log_in(await desk.key_of("viewer"))
        refused = await desk.get(JOBS)
        assert refused.status_code == 403
        assert "lacks the scope jobs:read" in refused.text
        assert f'href="{JOBS}"' not in refused.text

    with_desk(tmp_path, work)


def test_a_page_that_is_not_there_and_a_parameter_without_effect_are_told(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.log_in(await desk.key_of("admin"))
        assert (await desk.get("/console/nowhere")).status_code == 404
        assert "no such job" in (await desk.get(f"{JOBS}/j_none")).text
        for query, told in (("sortt=kind", "sortt"), ("sort=colour", "no column"), ("csv=other", "no table")):
            wrong = await desk.get(f"{JOBS}?{query}")
            assert wrong.status_code == 400
            assert told in wrong.text

    with_desk(tmp_path, work)


def test_sessions_are_bounded() -> None:
    clock = ManualClock()
    sessions = Sessions(clock, Ids())
    cookies = [sessions.begin("key", "k0")[0] for _ in range(CONSOLE_SESSIONS_PER_KEY_MAX + 1)]
    assert sessions.find(cookies[0]) is None
    assert sessions.find(cookies[1]) is not None
    for number in range(CONSOLE_SESSIONS_MAX - len(sessions)):
        sessions.begin("key", f"k{number + 1}")
    with pytest.raises(Overloaded):
        sessions.begin("key", "another")
    assert len(sessions) == CONSOLE_SESSIONS_MAX
    clock.advance(CONSOLE_SESSION_S_MAX * 1_000)
    sessions.begin("key", "another")
    assert len(sessions) == 1, "those that were over made room"


@pytest.mark.parametrize("path", [
    "", "/", "//evil.example/console", "/console.evil.example", "/consolation", "https://evil.example/console",
    "/console/\\evil", "/console//evil.example", "/console/\nSet-Cookie:x", "/console/é",
])  # fmt: skip
def test_a_login_leads_to_no_other_place(path: str) -> None:
    assert not is_own_path(path)


def test_a_session_that_ends_says_so_to_what_is_still_being_sent_to_it() -> None:
    clock = ManualClock()
    sessions = Sessions(clock, Ids())
    cookie, left = sessions.begin("ik_1", "1")
    assert sessions.left_s(left) == CONSOLE_SESSION_S_MAX
    assert not left.over.is_set()
    sessions.end(cookie)
    assert left.over.is_set()
    first, *others = [sessions.begin("ik_1", "1")[1] for _ in range(CONSOLE_SESSIONS_PER_KEY_MAX + 1)]
    assert first.over.is_set(), "it gave way to the newest of its key"
    assert not any(session.over.is_set() for session in others)
    clock.advance(CONSOLE_SESSION_S_MAX * 1_000 + 1)
    assert sessions.left_s(others[0]) == 0
    sessions.begin("ik_2", "2")
    assert all(session.over.is_set() for session in others)
