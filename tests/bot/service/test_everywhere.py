"""The same numbers everywhere: a replay, one poll after the other, whole processes, and the article's own rules."""

import json
import random
from pathlib import Path

import pytest

from bot.ledger import open_writer, verify
from bot.market import Candle, fill_gaps
from bot.model import save_model
from bot.service import replay_candles
from bot.simulator import LoopbackExchange
from bot.trading import AccountTerms, Trader
from tests.harness import HOUR, MARKET, Dial, World, all_rows, hourhand, model_of, poll, rows_at

BARS, WARMUP = 5_000, 100
MODEL = model_of(11)


@pytest.fixture(scope="module")
def stretch(real_candles: list[Candle]) -> list[Candle]:
    """A warm-up and 5,000 hours, three missing ones and hours without volume among them."""
    first = next(i for i, candle in enumerate(real_candles) if candle.bar_time >= 1_622_505_600)
    missing = BARS + WARMUP - len(fill_gaps(real_candles[first : first + BARS + WARMUP], HOUR))
    taken = real_candles[first : first + BARS + WARMUP + missing]
    assert len(fill_gaps(taken, HOUR)) == BARS + WARMUP
    assert len(taken) < BARS + WARMUP
    return taken


def replayed(url: str, candles: list[Candle], warmup: int) -> dict[str, list[tuple[object, ...]]]:
    ledger = open_writer(url)
    try:
        replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODEL), candles, warmup)
        with ledger.reading() as connection:
            verdict = verify(connection)
        assert verdict == (len(fill_gaps(candles, HOUR)) - warmup, [])
        return all_rows(ledger)
    finally:
        ledger.close()


@pytest.mark.slow
def test_five_thousand_real_hours_are_the_same_polled_replayed_and_by_the_articles_rules(
    stretch: list[Candle], tmp_path: Path
) -> None:
    right = replayed("sqlite://", stretch, WARMUP)
    assert len(right["decisions"]) == BARS
    assert len(right["fills"]) > BARS / 4

    settings = {
        "schedule": {"warmup_bars": WARMUP, "catch_up": "trade"},
        "ledger": {"url": "sqlite://"},
    }
    hours = {candle.bar_time for candle in stretch}
    dial = Dial(0.0)
    with LoopbackExchange(stretch, dial.clock) as exchange:
        world = World(exchange, dial, tmp_path)
        end = stretch[-1].bar_time + HOUR
        first = stretch[0].bar_time + WARMUP * HOUR
        moments = [t + HOUR + 1 for t in range(first, end, HOUR) if t in hours]
        chance = random.Random(1)  # a thousand polls hour by hour, then with absences of some hours
        moments[1000:-1] = [moment for moment in moments[1000:-1] if chance.random() < 0.4]
        decided = 0
        with world.poller(MODEL, **settings) as poller:
            for dial.now in moments:
                decided += poll(poller)
            with poller.ledger.reading() as connection:
                assert verify(connection) == (BARS, [])
            polled = all_rows(poller.ledger)
    assert decided == BARS
    assert {name: rows for name, rows in polled.items() if rows != right[name]} == {}

    by_time = {candle.bar_time: candle for candle in fill_gaps(stretch, HOUR)}
    money, coins = 10_000.0, 1.0
    for _, bar_time, action, *cells in right["decisions"]:
        price = by_time[int(str(bar_time))].close
        match action:
            case "buy":
                spent = 0.5 * money
                assert spent > 1
                money, coins = money - spent, coins + (1 - 0.00075) * spent / price
            case "sell":
                sold = 0.5 * coins
                assert sold > 0.0001
                money, coins = money + (1 - 0.00075) * sold * price, coins - sold
        assert cells[9:13] == [money, coins, money + coins * price, 10_000.0 + 1.0 * price]


def test_processes_that_poll_once_write_what_a_replay_writes(tmp_path: Path, real_candles: list[Candle]) -> None:
    """Around the two hours that the exchange lacked before 2021-06-30 10:00."""
    at = next(i for i, candle in enumerate(real_candles) if candle.bar_time == 1_625_047_200)
    candles = real_candles[at - WARMUP - 2 : at + 2]
    save_model(MODEL, tmp_path / "model")
    ledger = f"sqlite:///{tmp_path}/once.sqlite"
    dial = Dial(0.0)
    statuses = []
    with LoopbackExchange(candles, dial.clock) as exchange:
        for candle in candles[-4:]:
            dial.now = candle.bar_time + HOUR + 5.0
            result = hourhand(
                "run", "--once", "--json", cwd=tmp_path,
                HOURHAND_CLOCK=f"@{dial.now}", HOURHAND_EXCHANGE__BASE_URL=exchange.url,
                HOURHAND_LEDGER__URL=ledger, HOURHAND_POLICY__MODEL="model",
                HOURHAND_SCHEDULE__WARMUP_BARS=str(WARMUP),
            )  # fmt: skip
            assert result.returncode == 0, result.stderr
            statuses.append(json.loads(result.stdout))
    assert [answer["bars"] for answer in statuses] == [1, 1, 3, 1]
    assert statuses[-1]["bar_time"] == candles[-1].bar_time

    mine = rows_at(ledger)
    reasons = [row[3] for row in mine["decisions"]]
    assert reasons == ["policy", "policy", "synthetic", "synthetic", "policy", "policy"]
    assert mine == replayed("sqlite://", candles, WARMUP)
