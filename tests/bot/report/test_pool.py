"""`hourhand compare --pool`: timing over several markets, how sure it is, and how long until it could be seen."""

import json
import os
from pathlib import Path

import pytest

from bot.cli import main
from bot.errors import UsageError
from bot.ledger import open_reader, open_writer
from bot.model import Array
from bot.report import read_history
from bot.report.pool import pool_timing, timing_gains
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader
from tests.harness import model_of

CANDLES = {"BTC": generate_candles(320, 4, holes=0, quiet=0), "ETH": generate_candles(320, 5, holes=0, quiet=0)}
SETTINGS = """
[[markets]]
name = "eth"
symbol = "ETH/USD"
[[markets]]
name = "new"
symbol = "LTC/USD"
"""


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two markets, of which the second began fifty hours later, and a third that has not."""
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    writer = open_writer(url)
    for name, base, first in (("main", "BTC", 0), ("eth", "ETH", 50)):
        trader = Trader(AccountTerms(name, f"bitfinex:{base}/USD:1h"), model_of(3))
        replay_candles(writer, trader, CANDLES[base][first:], 10)
    writer.close()
    (tmp_path / "bot.toml").write_text(SETTINGS)
    monkeypatch.setenv("HOURHAND_LEDGER__URL", url)
    monkeypatch.setenv("HOURHAND_CONFIG", str(tmp_path / "bot.toml"))


def test_the_pool_is_an_equal_part_in_each_market_that_has_the_hour(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--pool", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["account"] for row in found["accounts"]] == ["main", "eth"]
    assert (found["markets"], found["hours"]) == (2, 309)
    for row in found["accounts"]:
        assert row["timing"]["value"] == pytest.approx(row["timing_log_return"], abs=1e-12)
    main_gains, eth_gains = _gains("main"), _gains("eth")
    early, late = main_gains[:50].sum(), (main_gains[50:] + eth_gains).sum() / 2
    assert found["pooled"]["value"] == pytest.approx(early + late, abs=1e-12)
    low, high = found["pooled"]["ci95"]
    assert low < found["pooled"]["value"] < high
    assert found["years"] == pytest.approx(309 / 8760)


def _gains(name: str) -> Array:
    ledger = open_reader(os.environ["HOURHAND_LEDGER__URL"])
    with ledger.reading() as connection:
        history = read_history(connection, name)
    ledger.close()
    return timing_gains(history)


def test_half_the_effect_takes_four_times_as_long(capsys: pytest.CaptureFixture[str]) -> None:
    needed = []
    for effect in ("0.1", "0.05"):
        assert main(["compare", "--pool", "--json", "--effect", effect]) == 0
        needed.append(json.loads(capsys.readouterr().out)["years_needed"])
    assert needed[1] == pytest.approx(4 * needed[0])


def test_people_read_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--pool"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 markets together, 309 bars (0.04 years)"
    assert lines[1].startswith("2020-01-01T11:00:00Z to ")
    assert [line.split()[0] for line in lines[3:-2]] == ["main", "eth", "all"]
    assert lines[-2].startswith("at this pace it takes ")
    assert lines[-2].endswith(" years to detect a timing of 0.05 a year")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("effect", ["0", "-1", "nan", "inf"])
def test_an_effect_that_is_none_is_wrong_usage(effect: str) -> None:
    assert main(["compare", "--pool", f"--effect={effect}"]) == 2


def test_a_market_is_compared_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--market", "eth", "--json"]) == 0
    assert [row["account"] for row in json.loads(capsys.readouterr().out)["accounts"]] == ["eth"]
    assert main(["compare", "--market", "nowhere"]) == 2


def test_bars_of_two_lengths_are_not_pooled(tmp_path: Path) -> None:
    writer = open_writer(f"sqlite:///{tmp_path}/ledger.sqlite")
    candles = generate_candles(60, 6, bar=900, holes=0, quiet=0)
    replay_candles(writer, Trader(AccountTerms("quick", "bitfinex:BTC/USD:15m"), model_of(3)), candles, 10)
    with writer.reading() as connection:
        histories = [read_history(connection, name) for name in ("main", "quick")]
    writer.close()
    with pytest.raises(UsageError, match="differ in length"):
        pool_timing(histories, 0.05)
