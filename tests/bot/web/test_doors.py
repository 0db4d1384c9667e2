"""Who is let in, what changes something, and what every answer carries."""

import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from bot.cli import main
from bot.model import read_pointer
from bot.service import paused_accounts
from bot.settings import Settings
from tests.bot.web.conftest import TOKEN, client_of

API = "/api/v1"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CHANGES = ["models/rollback", "models/0000/promote", "accounts/main/pause", "accounts/main/resume"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", "", "[::2]:8420"])
def test_an_unknown_host_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert "serve.hosts" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost:8420", "127.0.0.1", "[::1]:8420", "LOCALHOST"])
def test_this_machine_is_let_in(client: TestClient, host: str) -> None:
    assert client.get(f"{API}/models", headers={"Host": host}).status_code == 200


def test_hosts_of_the_settings_are_let_in(settings: Settings) -> None:
    serve = msgspec.structs.replace(settings.serve, hosts="bot.example other.example")
    with client_of(msgspec.structs.replace(settings, serve=serve)) as client:
        assert client.get(f"{API}/models", headers={"Host": "other.example:443"}).status_code == 200
        assert client.get(f"{API}/models", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("path", ["/", f"{API}/accounts", f"{API}/nothing", "/static/page.js"])
def test_every_answer_keeps_the_page_to_itself(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert not {"set-cookie", "access-control-allow-origin", "server"} & set(headers)


def test_the_page_has_no_script_of_its_own_and_asks_nobody_else(client: TestClient) -> None:
    page = client.get("/").text
    assert page.count("<script") == page.count('<script defer src="/static/')
    assert "onclick" not in page
    for address in ("/static/page.js", "/static/charts.js", "/static/page.css", "/static/report.css"):
        text = client.get(address).text
        assert "http://" not in text
        assert "https://" not in text


def test_the_chart_library_is_served_from_its_package(client: TestClient) -> None:
    answer = client.get("/static/lightweight-charts.js")
    assert answer.status_code == 200
    assert "TradingView Lightweight Charts" in answer.text[:200]
    assert "Apache License 2.0" in answer.text[:400]
    assert client.get("/static/..%2fapp.py").status_code == 404


@pytest.mark.parametrize("path", CHANGES)
def test_without_a_token_set_changes_are_off(settings: Settings, path: str) -> None:
    serve = msgspec.structs.replace(settings.serve, token="")
    with client_of(msgspec.structs.replace(settings, serve=serve)) as client:
        answer = client.post(f"{API}/{path}", headers=BEARER)
        assert answer.status_code == 403
        assert "HOURHAND_SERVE__TOKEN" in answer.json()["detail"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_a_wrong_token_is_slowed_down_and_logged_without_it(
    client: TestClient, headers: dict[str, str], log_lines: list[Any]
) -> None:
    began = time.monotonic()
    answer = client.post(f"{API}/models/rollback", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert time.monotonic() - began >= 1.0
    (line,) = [line for line in log_lines if line["event"] == "wrong_token"]
    assert line["path"] == f"{API}/models/rollback"
    assert "wrong" not in {str(value) for value in line.values()} - {"wrong_token"}
    assert TOKEN not in str(line)


def test_promote_and_roll_back(client: TestClient, settings: Settings) -> None:
    pointer = Path(settings.policy.model)
    current = read_pointer(pointer).model_id
    other = next(row["model_id"] for row in client.get(f"{API}/models").json()["models"] if row["model_id"] != current)
    assert client.post(f"{API}/models/{other}/promote", headers=BEARER).json()["model_id"] == other
    assert read_pointer(pointer).model_id == other
    assert client.get(f"{API}/models").json()["current"] == other
    assert client.post(f"{API}/models/rollback", headers=BEARER).json()["model_id"] == current
    assert read_pointer(pointer).model_id == current
    assert client.post(f"{API}/models/{'0' * 16}/promote", headers=BEARER).status_code == 404
    assert client.post(f"{API}/models/..%2f..%2fetc/promote", headers=BEARER).status_code in {404, 422}


def test_pause_and_resume(client: TestClient, settings: Settings) -> None:
    assert list(client.post(f"{API}/accounts/main/pause", headers=BEARER).json()["paused"]) == ["main"]
    assert list(paused_accounts(settings)) == ["main"]
    assert client.get(f"{API}/accounts").json()[0]["paused"] is True
    assert client.post(f"{API}/accounts/main/resume", headers=BEARER).json() == {"paused": {}}
    assert client.post(f"{API}/accounts/nobody/pause", headers=BEARER).status_code == 404


@pytest.mark.parametrize("path", CHANGES)
def test_reading_changes_nothing(client: TestClient, path: str) -> None:
    assert client.get(f"{API}/{path}", headers=BEARER).status_code in {404, 405}


def test_large_requests_are_refused(client: TestClient) -> None:
    assert client.post(f"{API}/models/rollback", headers=BEARER, content=b"x" * 100_000).status_code == 413
    assert client.get(f"{API}/candles?market=" + "x" * 5_000).status_code == 414


def test_the_settings_shown_have_no_secrets(settings: Settings) -> None:
    notify = msgspec.structs.replace(
        settings.notify, urls="tgram://secret-bot/123", ping_url="https://p.example/secret"
    )
    with client_of(msgspec.structs.replace(settings, notify=notify)) as client:
        page = client.get("/").text
    assert "secret-bot" not in page
    assert "p.example/secret" not in page
    assert TOKEN not in page
    assert "serve.token" in page


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "host.example"])
def test_another_address_without_a_token_is_wrong_usage(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--address", address]) == 2
    assert "HOURHAND_SERVE__TOKEN" in capsys.readouterr().err


def test_a_port_that_is_taken_or_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot listen on" in capsys.readouterr().err
    assert main(["serve", "--port", "0"]) == 2
