"""`simulate` as a process of its own: what it prints, what it serves, how it ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.clock import read_clock
from bot.market import Feed
from bot.settings import load_settings
from bot.simulator import generate_candles
from bot.simulator.generate import START
from tests.harness import environment, hourhand

ROOT = Path(__file__).parents[3]


def simulate(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-m", "bot", "simulate", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_settings_it_prints_lead_a_feed_to_its_candles(end: signal.Signals) -> None:
    with simulate("--json", "--seed", "4", "--bars", "700", "--speed", "36000") as process:
        assert process.stdout
        printed = json.loads(process.stdout.readline())
        settings = load_settings(None, printed["environment"])
        clock = read_clock(printed["environment"]["HOURHAND_CLOCK"])
        feed = Feed(settings.exchange, clock)
        made = generate_candles(700, 4)
        found = feed.closed_candles(START)
        assert found == made[: len(found)]
        assert len(found) >= 499
        assert feed.skew == 0.0
        process.send_signal(end)
        assert process.stdout.read() == ""
        assert process.stderr
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_several_markets_come_with_settings_for_all_of_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bot", "simulate", "--json", "--markets", "3", "--speed", "36000"]
    env = environment(PYTHONPATH=str(ROOT))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env) as process:
        assert process.stdout
        printed = json.loads(process.stdout.readline())
        assert printed["symbols"] == ["BTC/USD", "ETH/USD", "LTC/USD"]
        settings = load_settings(None, printed["environment"])
        main, eth, ltc = settings.each_market()
        assert (eth.account.name, eth.exchange.symbol, eth.account.initial_share) == ("eth", "ETH/USD", 0.5)
        clock = read_clock(printed["environment"]["HOURHAND_CLOCK"])
        closes = [Feed(market.exchange, clock).closed_candles(START)[0].close for market in (main, eth, ltc)]
        assert closes[0] > closes[1] > closes[2]
        process.terminate()
    assert process.returncode == 0


def test_a_file_and_a_fault_for_people(tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    lines = [",".join(map(repr, candle[:6])) for candle in generate_candles(20, 4, holes=0)]
    file.write_text("\n".join(["t,o,h,l,c,v", *lines]))
    with simulate("--candles", str(file), "--fault", "html@all") as process:
        assert process.stdout
        first = process.stdout.readline()
        assert "serves 20 candles (1h) as Bitfinex's BTC/USD" in first
        process.terminate()
        rest = process.stdout.read()
    assert "HOURHAND_EXCHANGE__BASE_URL=http://127.0.0.1:" in rest
    assert process.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fault", "nothing_such"],
        ["--bars", "0"],
        ["--seed", "-1"],
        ["--speed", "0"],
        ["--timeframe", "7m"],
        ["--candles", "missing.csv"],
        ["--port", "70000"],
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str]) -> None:
    with simulate(*arguments) as process:
        stdout, errors = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (2, "")
    assert len(errors.splitlines()) == 1


def test_run_trades_against_it_on_a_practice_ledger_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bot", "simulate", "--run", "--speed", "36000"]
    env = environment(PYTHONPATH=str(ROOT))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env
    ) as both:
        assert both.stderr
        while '"event": "bar"' not in (line := both.stderr.readline()):
            assert line, "the daemon ended"
        both.send_signal(signal.SIGINT)
        printed, _ = both.communicate(timeout=60)
    assert both.returncode == 0
    url = printed.split("practice ledger of this start: ")[1].splitlines()[0]
    status = hourhand("status", "--json", cwd=tmp_path, HOURHAND_LEDGER__URL=url)
    assert json.loads(status.stdout)["practice"] is True
    refused = hourhand("run", cwd=tmp_path, HOURHAND_LEDGER__URL=url)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
