"""What each command shows of several markets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cli import main
from bot.simulator.generate import START
from tests.harness import HOUR
from tests.many import Exchanges, exchanges, named

Run = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchanges]:
    """Three markets with two decided bars each, and settings in the environment that name them."""
    with exchanges(tmp_path, 3) as made:
        settings = made.settings(*named("eth", "ltc"))
        made.poll(settings, 30)
        made.poll(settings, 31)
        (tmp_path / "bot.toml").write_text(
            f'[exchange]\nbase_url = "{made.exchange.url}"\n[schedule]\nwarmup_bars = 20\n'
            f'[policy]\nmodel = "{tmp_path}/models/current"\n[ledger]\nurl = "{made.url}"\n'
            '[[markets]]\nname = "eth"\nsymbol = "ETH/USD"\ninitial_share = 0.5\n'
            '[[markets]]\nname = "ltc"\nsymbol = "LTC/USD"\ninitial_share = 0.5\n'
        )
        monkeypatch.setenv("HOURHAND_CONFIG", str(tmp_path / "bot.toml"))
        monkeypatch.setenv("HOURHAND_CLOCK", f"@{START + 32 * HOUR + 60}")
        yield made


def printed(capsys: Run, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_status_has_the_first_account_and_all(capsys: Run) -> None:
    found = json.loads(printed(capsys, "status", "--json"))
    assert (found["account"], found["market"]) == ("main", "bitfinex:BTC/USD:1h")
    assert [one["account"] for one in found["accounts"]] == ["main", "eth", "ltc"]
    assert all(one.keys() == found.keys() - {"accounts"} for one in found["accounts"])
    lines = printed(capsys, "status").splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["main", "eth", "ltc"]
    assert json.loads(printed(capsys, "status", "--json", "--account", "ltc"))["account"] == "ltc"


def test_doctor_asks_every_market(capsys: Run, world: Exchanges) -> None:
    checks = json.loads(printed(capsys, "doctor", "--json"))["checks"]
    assert [check["name"] for check in checks if check["name"].startswith("exchange")] == [
        "exchange", "exchange eth", "exchange ltc",
    ]  # fmt: skip
    del world.exchange.others[0]
    assert main(["doctor", "--json"]) == 2
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == ["exchange eth"]


def test_a_replay_of_a_market_is_what_the_daemon_wrote(capsys: Run, world: Exchanges, tmp_path: Path) -> None:
    eth = next(market for market in world.exchange.others if market.symbol == "ETH/USD")
    file = tmp_path / "eth.csv"
    rows = [",".join(map(repr, candle[:6])) for candle in eth.candles[10:32]]
    file.write_text("\n".join(["t,o,h,l,c,v", *rows]))
    url = f"sqlite:///{tmp_path}/replay.sqlite"
    arguments = ["--market", "eth", "--candles", str(file), "--warmup", "20", "--ledger", url, "--json"]
    assert json.loads(printed(capsys, "replay", *arguments))["bars"] == 2
    replayed = json.loads(printed(capsys, "verify", "--ledger", url, "--json"))
    assert replayed["differences"] == 0
    kept = json.loads(printed(capsys, "status", "--json", "--account", "eth"))["chain"]
    assert main(["verify", "--ledger", url, "--holds", kept]) == 0
    assert main(["replay", *arguments[2:], "--market", "nowhere"]) == 2


def test_health_report_trades_and_export_know_them(capsys: Run, tmp_path: Path) -> None:
    assert printed(capsys, "health").startswith("healthy: all 3 markets; ")
    printed(capsys, "report", "--market", "eth", "--out", str(tmp_path / "eth.html"))
    assert "eth on ETH/USD" in (tmp_path / "eth.html").read_text()
    assert json.loads(printed(capsys, "trades", "--account", "eth", "--json"))["account"] == "eth"
    rows = printed(capsys, "export", "decisions").splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == {"main", "eth", "ltc"}
    assert "other markets: eth, ltc" in printed(capsys, "compare")
