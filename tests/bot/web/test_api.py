"""The API says what the ledger and the commands say, a page at a time, and answers nonsense with one sentence."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bot.cli import main
from bot.ledger import account_summary, open_reader
from bot.ledger.tables import REVISION
from bot.settings import Settings
from tests.bot.web.conftest import client_of, settings_for
from tests.harness import rows_at

API = "/api/v1"


def test_accounts_are_those_of_status(client: TestClient, settings: Settings) -> None:
    rows = client.get(f"{API}/accounts").json()
    assert [row["account"] for row in rows] == ["main", "<b>fresh</b>", "cautious"]
    ledger = open_reader(settings.ledger.url)
    with ledger.reading() as connection:
        for row in rows:
            summary = account_summary(connection, row["account"])
            assert {name: row[name] for name in summary} == summary
    ledger.close()
    assert {row["state"] for row in rows} == {"stopped"}
    assert rows[0]["next_bar_due"] == rows[0]["bar_time"] + 2 * 3600 + 20
    assert rows[0]["time"].endswith(":00:00Z")


def test_decisions_are_the_ledgers_rows_page_by_page(client: TestClient, settings: Settings) -> None:
    wanted = [row for row in rows_at(settings.ledger.url)["decisions"] if row[0] == "main"]
    found, cursor = [], {}
    while True:
        page = client.get(f"{API}/accounts/main/decisions", params={"limit": 251, **cursor}).json()
        found += page["decisions"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert [row["bar_time"] for row in found] == [row[1] for row in wanted]
    assert [tuple(row[name] for name in ("action", "price", "value")) for row in found] == [
        (row[2], row[11], row[14]) for row in wanted
    ]
    newest = client.get(f"{API}/accounts/main/decisions", params={"limit": 2, "order": "desc"}).json()["decisions"]
    assert newest == found[:-3:-1]


def test_a_span_includes_its_beginning_and_not_its_end(client: TestClient) -> None:
    times = [row["bar_time"] for row in client.get(f"{API}/candles", params={"limit": 5000}).json()["candles"]]
    part = client.get(f"{API}/candles", params={"from": times[10], "to": times[20]}).json()
    assert [row["bar_time"] for row in part["candles"]] == times[10:20]
    assert part["next"] is None


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_fills_are_the_ledgers_rows(client: TestClient, settings: Settings, order: str) -> None:
    wanted = [row for row in rows_at(settings.ledger.url)["fills"] if row[0] == "main"]
    first = client.get(f"{API}/accounts/main/fills", params={"limit": 3, "order": order}).json()
    second = client.get(
        f"{API}/accounts/main/fills", params={"order": order, "limit": 5000, "cursor": first["next"]}
    ).json()
    rows = first["fills"] + second["fills"]
    rows = rows if order == "asc" else rows[::-1]
    assert [(row["bar_time"], row["side"], row["price"], row["amount"]) for row in rows] == [row[1:5] for row in wanted]
    assert all((row["profit"] is None) == (row["side"] == "buy") for row in rows)


def test_equity_loses_no_peak(client: TestClient, settings: Settings) -> None:
    rows = [row for row in rows_at(settings.ledger.url)["decisions"] if row[0] == "main"]
    whole = client.get(f"{API}/accounts/main/equity?points=5000").json()
    thin = client.get(f"{API}/accounts/main/equity?points=60").json()
    assert whole["bars"] == thin["bars"] == len(whole["equity"]) == len(rows)
    assert [point["value"] for point in whole["equity"]][1:] == [row[14] for row in rows][1:]
    assert len(thin["equity"]) <= 60
    for name, best in (("value", max), ("value", min), ("drawdown", max), ("hold_value", max), ("constant_mix", min)):
        assert best(p[name] for p in thin["equity"]) == best(p[name] for p in whole["equity"]), name


def test_events_and_models(client: TestClient) -> None:
    events = client.get(f"{API}/events").json()["events"]
    assert [row["kind"] for row in events] == ["model_swapped", "started"]
    assert events[0]["detail"]["account"] == "main"
    assert [row["kind"] for row in client.get(f"{API}/events?kind=started").json()["events"]] == ["started"]
    models = client.get(f"{API}/models").json()
    assert [row["role"] for row in models["models"] if row["model_id"] == models["current"]] == ["current"]


def test_compare_is_what_the_command_says(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOURHAND_LEDGER__URL", settings.ledger.url)
    assert main(["compare", "--account", "main", "--account", "cautious", "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)
    found = client.get(f"{API}/compare?accounts=main,cautious").json()
    for mine, other in zip(found["accounts"], wanted["accounts"], strict=True):
        assert {name: mine[name] for name in other} == other
        low, high = mine["timing_ci95"]
        assert low <= mine["timing_log_return"] <= high
    assert found["bars"] == wanted["bars"]


def test_the_report_is_the_commands(client: TestClient) -> None:
    answer = client.get(f"{API}/report?accounts=main")
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1>main on BTC/USD</h1>" in answer.text


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("candles?limit=-1", 422, "limit: "),
        ("candles?limit=99999999", 422, "limit: "),
        ("candles?from=abc", 422, "from: "),
        ("candles?from=-5", 422, "from: "),
        ("candles?to=1e300", 422, "to: "),
        ("candles?order=up", 422, "order: "),
        ("candles?market=nowhere", 404, "no market 'nowhere'"),
        ("accounts/main/equity?points=1000000", 422, "points: "),
        ("accounts/main/equity?points=0", 422, "points: "),
        ("accounts/nobody/decisions", 404, "no account 'nobody'"),
        ("accounts/nobody/fills", 404, "'nobody'"),
        ("accounts/nobody/equity", 404, "'nobody'"),
        ("accounts/" + "x" * 300 + "/decisions", 422, "name: "),
        ("events?cursor=x", 422, "cursor: "),
        ("compare?accounts=main,nobody", 404, "no account 'nobody'"),
        ("report?accounts=nobody", 404, "no account 'nobody'"),
        ("nothing", 404, "nothing at this address"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(client: TestClient, address: str, status: int, sentence: str) -> None:
    answer = client.get(f"{API}/{address}")
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert "Traceback" not in answer.text
    assert "\n" not in answer.json()["detail"]


def test_names_of_accounts_are_text(client: TestClient) -> None:
    assert client.get(f"{API}/accounts/%3Cb%3Efresh%3C%2Fb%3E/decisions?limit=1").json()["decisions"]
    page = client.get("/").text
    assert "<b>fresh</b>" not in page
    assert "&lt;b&gt;fresh&lt;/b&gt;" in page


def test_the_schema_and_its_page_name_every_call(client: TestClient) -> None:
    paths = client.get(f"{API}/openapi.json").json()["paths"]
    for path in ("accounts", "candles", "events", "models", "compare", "report", "stream", "accounts/{name}/equity"):
        assert f"{API}/{path}" in paths
    for path in ("models/rollback", "models/{model_id}/promote", "accounts/{name}/pause", "accounts/{name}/resume"):
        assert "post" in paths[f"{API}/{path}"]
    page = client.get(f"{API}/docs").text
    for path in paths:
        assert path in page


def test_before_there_is_a_ledger_it_says_so_and_goes_on(tmp_path: Path, ledger_file: Path) -> None:
    settings = settings_for(tmp_path, f"sqlite:///{tmp_path}/later.sqlite")
    with client_of(settings) as client:
        for address in ("/", f"{API}/accounts", f"{API}/candles", f"{API}/accounts/main/equity"):
            answer = client.get(address)
            assert answer.status_code == 503, address
            assert "there is no ledger at" in answer.text
        (tmp_path / "later.sqlite").write_bytes(ledger_file.read_bytes())
        assert client.get(f"{API}/accounts").status_code == 200
        assert client.get("/").status_code == 200


def test_a_ledger_that_awaits_its_upgrade_is_waited_for(tmp_path: Path, ledger_file: Path) -> None:
    file = tmp_path / "old.sqlite"
    file.write_bytes(ledger_file.read_bytes())
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.commit()
    with client_of(settings_for(tmp_path, f"sqlite:///{file}")) as client:
        answer = client.get(f"{API}/accounts")
        assert answer.status_code == 503
        assert "older version" in answer.json()["detail"]
        connection.execute("UPDATE alembic_version SET version_num = ?", (REVISION,))
        connection.commit()
        connection.close()
        assert client.get(f"{API}/accounts").status_code == 200


def test_a_restored_backup_with_another_end_is_read_anew(tmp_path: Path, ledger_file: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(ledger_file.read_bytes())
    with client_of(settings_for(tmp_path, f"sqlite:///{file}")) as client:
        before = client.get(f"{API}/accounts/main/equity?points=5000").json()
        connection = sqlite3.connect(file)
        newest = before["equity"][-1]["bar_time"]
        for table in ("fills", "decisions"):
            connection.execute(f"DELETE FROM {table} WHERE account = 'main' AND bar_time > ?", (newest - 10 * 3600,))
        connection.commit()
        connection.close()
        after = client.get(f"{API}/accounts/main/equity?points=5000").json()
        assert [p["value"] for p in after["equity"]] == [p["value"] for p in before["equity"][:-10]]


def test_the_page_shows_a_revision(tmp_path: Path, ledger_file: Path) -> None:
    copied = tmp_path / "ledger.sqlite"
    copied.write_bytes(ledger_file.read_bytes())
    detail = {"bar_time": 1577836800, "stored": [1.0, 2.0, 0.5, 1.5, 3.0], "now": [1.0, 2.0, 0.5, 1.6, 3.0]}
    with closing(sqlite3.connect(copied)) as connection, connection:
        connection.execute("INSERT INTO events (at, kind, detail) VALUES (1, 'revision', ?)", (json.dumps(detail),))
    with client_of(settings_for(tmp_path, f"sqlite:///{copied}")) as client:
        found = client.get("/parts/events")
    assert found.status_code == 200
    assert "bar time 2020-01-01 00:00, stored [1.0, 2.0, 0.5, 1.5, 3.0], now" in found.text
