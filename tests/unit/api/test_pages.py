"""The pages in a browser's eyes: signing in, and runs whose names, outputs and logs are hostile."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from headway_coordinator.access import seals
from tests.unit.api.house import KEY, SALES, House

EVIL = "</pre></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`${{"


class Tags(HTMLParser):
    """Collects the tags of a page, and what scripts and links they hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(house: House, path: str, **more: Any) -> Any:
    response = house.ask("viewer", "GET", path, **more)
    assert response.headers["content-type"].startswith("text/html"), response.text
    return response


def test_a_run_page_tells_the_failure_first(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    house.log(won, b"reading\nno such table: sales\n")
    error = {"code": "exit_status", "message": "exited with status 3"}
    sealed = won.sealed(house, outcome="failed", error=error, exit_code=3)
    house.work("completions", {"completions": [sealed]})
    house.lead()

    html = page(house, f"/r/{run}").text

    assert re.search(r"<h1>.*Failed in .*: extract", html)
    assert "exited with status 3" in html
    assert "no such table: sales" in html
    assert "Last 2 lines of the log" in html
    assert "a step it needs failed" in html
    assert f"headway runs retry {run}" in html
    assert 'href="https://wiki.example.com/sales" rel="noopener noreferrer"' in html
    assert "sales@example.com" in html
    assert html.index("exited with status 3") < html.index("Started by")
    assert "<noscript>" not in html
    assert Tags(html).every("script") == []


def test_an_open_runs_page_says_what_waits_and_refreshes(house: House) -> None:
    run = house.running()
    html = page(house, f"/r/{run}").text
    assert "needs extract, which is" in html
    tags = Tags(html)
    assert [meta["content"] for meta in tags.every("meta") if "http-equiv" in meta] == ["5"]
    assert len(tags.every("script")) == 1


def test_an_open_runs_page_says_that_the_broker_is_away(house: House) -> None:
    run = house.running()
    assert "the broker does not answer" not in page(house, f"/r/{run}").text
    house.broker_is_up = False
    assert "the broker does not answer" in page(house, f"/r/{run}").text


@pytest.mark.parametrize(("allowed", "told"), [("true", False), ("false", True)])
def test_an_open_runs_page_tells_of_failures_that_are_not_allowed(
    house: House, allowed: str, told: bool
) -> None:
    soft = SALES.replace("run: echo extract,", f"run: echo, allow_failure: {allowed},")
    run = house.running(soft.replace("needs: [extract], run", "run"))
    house.finish("extract", outcome="failed", error={"code": "exit_status", "message": "3"})
    html = page(house, f"/r/{run}").text
    assert ("failed already: extract" in html) is told
    assert ("its failure is allowed" in html) is not told


def test_a_run_that_no_leader_has_seen_has_a_page(house: House) -> None:
    house.apply()
    run = house.start(logical_date="2026-02-28T00:00:00Z").json()["id"]
    html = page(house, f"/r/{run}").text
    assert "waits for the leader" in html
    assert "Sat 28 Feb 2026" in html


def test_hostile_text_is_only_text(house: House) -> None:
    run = house.running(
        SALES.replace("owner: sales@example.com", f"owner: '{EVIL.replace(chr(39), '')}'"),
        params={"region": EVIL},
    )
    won = house.won("extract")
    house.log(won, f"{EVIL}\x1b]8;;javascript:alert(1)\x07link\n".encode())
    ref = house.upload(won, EVIL.replace("/", "").replace("\\", ""), b"x").json()
    sealed = won.sealed(
        house,
        outcome="failed",
        reason=EVIL,
        error={"code": "x", "message": EVIL, "detail": EVIL},
        outputs={EVIL: EVIL, "rows": 1},
        artifacts=[ref],
    )
    house.work("completions", {"completions": [sealed]})
    house.lead()

    response = page(house, f"/r/{run}")

    tags = Tags(response.text)
    assert tags.every("script") == []
    assert tags.every("img") == []
    assert "alert(1)" in response.text
    assert not any(name.startswith("on") for _, attrs in tags.tags for name in attrs)
    for link in tags.every("a"):
        assert (link["href"] or "").startswith(("/", "https://wiki.example.com/"))
    assert "\x1b" not in response.text


def test_a_page_lets_nothing_run_but_what_carries_its_nonce(house: House) -> None:
    run = house.running()
    first, second = (page(house, f"/r/{run}") for _ in range(2))
    policy = first.headers["content-security-policy"]
    [nonce] = set(re.findall(r"'nonce-([^']+)'", policy))
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    tags = Tags(first.text)
    assert {t["nonce"] for name in ("script", "style") for t in tags.every(name)} == {nonce}
    assert not any("style" in attributes for _, attributes in tags.tags)
    assert nonce not in second.headers["content-security-policy"]


def test_the_list_shows_the_last_runs_of_the_team(house: House) -> None:
    run = house.running()
    html = page(house, "/").text
    assert f'href="/r/{run}"' in html
    assert "Running" in html
    assert run not in page(house, "/", team="risk").text
    assert run not in page(house, "/?pipeline=other").text
    assert page(house, "/?cursor=nonsense").status_code == 422


def test_a_page_that_is_not_there_says_so(house: House) -> None:
    response = page(house, "/r/nowhere")
    assert response.status_code == 404
    assert "your teams may not see it" in response.text


# --- signing in --------------------------------------------------------------------------------


def sign_in(house: House, token: str, **more: Any) -> Any:
    data = {"token": token, "next": "/r/abc"}
    return house.client.post("/sign-in", data=data, **more)


def test_a_pasted_token_opens_the_pages_and_nothing_else(house: House) -> None:
    run = house.running()
    won = house.won("extract")
    house.log(won, b"hello\n")
    response = sign_in(house, f" {house.token('admin')}\n")

    assert (response.status_code, response.headers["location"]) == (303, "/r/abc")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie
    assert house.token("admin") not in cookie
    assert house.client.get(f"/r/{run}").status_code == 200
    assert house.client.get("/").status_code == 200
    assert house.client.get(f"/api/v1/runs/{run}/logs?step=extract").text == "hello\n"
    for method, path in [
        ("GET", "/api/v1/runs"),
        ("GET", f"/api/v1/runs/{run}"),
        ("POST", f"/api/v1/runs/{run}/cancel"),
        ("POST", "/api/v1/tickets"),
        ("POST", f"/r/{run}"),
        ("DELETE", "/api/v1/tokens/x"),
    ]:
        assert house.client.request(method, path).status_code == 401, (method, path)


def test_the_cookie_is_secure_behind_https(house: House) -> None:
    house.client.base_url = "https://testserver"
    assert "Secure" in sign_in(house, house.token("viewer")).headers["set-cookie"]


def test_a_session_ends_with_its_token(house: House) -> None:
    text, token = house.new_token("viewer")
    sign_in(house, text)
    assert house.client.get("/").status_code == 200
    house.ask("admin", "DELETE", f"/api/v1/tokens/{token.id}")
    again = house.client.get("/?pipeline=sales")
    assert again.status_code == 303
    assert again.headers["location"] == "/sign-in?next=%2F%3Fpipeline%3Dsales"


@pytest.mark.parametrize("token", ["", "hw_wrong", "hw_" + "a" * 43])
def test_a_wrong_token_does_not_sign_in(house: House, token: str) -> None:
    response = sign_in(house, token)
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert 'value="/r/abc"' in response.text


def test_a_workers_token_does_not_sign_in(house: House) -> None:
    assert sign_in(house, house.token("worker")).status_code == 403
    session, _ = seals.issue(
        KEY,
        "session",
        house.services.identities.of_token(house.token("worker")).fingerprint,
        house.clock.now(),
    )
    house.client.cookies.set("headway_session", session)
    assert house.client.get("/").status_code == 303


def test_another_sites_form_does_not_sign_in(house: House) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert sign_in(house, house.token("viewer"), headers=headers).status_code == 403


@pytest.mark.parametrize("body", [b"x" * 9000, b"\xff\xfe", b"&" * 50, b"a=1&" * 50])
def test_a_form_that_is_none_does_not_sign_in(house: House, body: bytes) -> None:
    assert house.client.post("/sign-in", content=body).status_code in (401, 413)


def test_a_ticket_opens_a_page_and_only_on_this_server(house: House) -> None:
    ticket = house.ask("viewer", "POST", "/api/v1/tickets", json={}).json()
    assert ticket["expires_at"] == "2026-03-01T07:00:00.000Z"
    opened = house.client.get(ticket["path"] + "&next=/r/abc")
    assert (opened.status_code, opened.headers["location"]) == (303, "/r/abc")
    assert house.client.get("/").status_code == 200
    away = house.client.get(ticket["path"] + "&next=//evil.example")
    assert away.headers["location"] == "/"


def test_an_old_or_forged_ticket_opens_nothing(house: House) -> None:
    from datetime import timedelta

    path = house.ask("viewer", "POST", "/api/v1/tickets").json()["path"]
    house.clock.advance(timedelta(hours=1))
    for wanted in (path, path[:-1] + "x", "/sign-in?ticket="):
        response = house.client.get(wanted)
        assert response.status_code == 401
        assert "set-cookie" not in response.headers


def test_a_session_cookie_of_another_making_is_refused(house: House) -> None:
    for value in ["", "x", "a.b.c", "hw_" + "a" * 43, "é"]:
        headers = {b"Cookie": f"headway_session={value}".encode()}
        assert house.client.get("/", headers=headers).status_code == 303
