"""One poll: which bars are decided, why, at which price, and what a daemon that was away makes of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from bot.errors import ExchangeError
from bot.ledger import open_reader, open_writer, reading, verify
from bot.market import Feed
from bot.market.exchange import Ticker
from bot.service import Poller, Waiter, once, poll_once, raise_failures, replay_candles
from bot.simulator import generate_candles
from bot.simulator.faults import Fault
from bot.simulator.generate import START
from bot.trading import Trader, terms_of
from tests.harness import HOUR, InlineWaiter, all_rows, events_at, model_of, poll, rows_at, world_of

MODEL, OTHER = model_of(1), model_of(2)
BUYER, SELLER = model_of(3, bias=(-30.0, 30.0, -30.0)), model_of(4, bias=(-30.0, -30.0, 30.0))


def proven(poller: Poller) -> int:
    with poller.ledger.reading() as connection:
        verdict = verify(connection)
    assert verdict.differences == []
    return verdict.bars


def hour(row: tuple[Any, ...]) -> int:
    return int((row[1] - START) // HOUR)


@pytest.mark.parametrize("warmup", [0, 1, 20, 10**15])
def test_a_fresh_ledger_begins_at_the_newest_closed_candle(tmp_path: Path, warmup: int) -> None:
    with world_of(tmp_path) as world, world.poller(MODEL, schedule={"warmup_bars": warmup}) as poller:
        world.run(poller, [30, 31])
        rows = world.rows()
        assert [hour(row) for row in rows["decisions"]] == [30, 31]
        assert [hour(row) for row in rows["candles"]] == list(range(30 - min(warmup, 30), 32))
        assert proven(poller) == 2
        ledger = open_writer("sqlite://")
        candles = world.exchange.candles[30 - min(warmup, 30) : 32]
        replay_candles(ledger, Trader(poller.account_states[0].trader.terms, MODEL), candles, min(warmup, 30))
        assert all_rows(ledger) == rows
        ledger.close()


@pytest.mark.parametrize(("catch_up", "reason"), [("observe", "missed"), ("trade", "policy")])
def test_what_was_missed_is_observed_or_traded(tmp_path: Path, catch_up: str, reason: str) -> None:
    with world_of(tmp_path) as world, world.poller(MODEL, schedule={"catch_up": catch_up, "warmup_bars": 5}) as poller:
        world.run(poller, [30, 60])
        missed = world.rows()["decisions"][1:-1]
        assert {row[3] for row in missed} == {reason}
        assert ({row[2] for row in missed} == {"hold"}) == (catch_up == "observe")
        assert proven(poller) == 31


@pytest.mark.parametrize(("second", "reason"), [(900.0, "policy"), (900.5, "missed")])
def test_a_candle_is_old_news_after_max_decision_delay_seconds(tmp_path: Path, second: float, reason: str) -> None:
    with world_of(tmp_path) as world, world.poller(MODEL) as poller:
        world.run(poller, [30])
        world.run(poller, [31], second)
        assert world.rows()["decisions"][-1][3] == reason


@pytest.mark.parametrize(("model", "side"), [(BUYER, "buy"), (SELLER, "sell")])
def test_fills_at_the_quote_with_slippage(tmp_path: Path, model: Any, side: str) -> None:
    """At the ticker's ask or bid; a candle that is older is filled at its close."""
    sections: dict[str, dict[str, Any]] = {
        "account": {"fill": "quote", "slippage_bps": 20.0},
        "schedule": {"catch_up": "trade", "warmup_bars": 3},
        "policy": {"mode": "argmax"},
    }
    with world_of(tmp_path) as world, world.poller(model, **sections) as poller:
        world.run(poller, [30, 32], 600.0)
        ticker = poller.feed.ticker()
        rows = world.rows()
        assert {row[2] for row in rows["fills"]} == {side}
        slip = 1.002 if side == "buy" else 0.998
        closes = {row[1]: row[5] for row in rows["candles"]}
        _, old, young = rows["decisions"]
        assert old[11] == closes[old[1]] * slip
        assert old[16:18] == (None, None)
        assert young[11] == (ticker.ask if side == "buy" else ticker.bid) * slip
        assert young[16:18] == (ticker.bid, ticker.ask)
        assert [fill[3] for fill in rows["fills"]][1:] == [old[11], young[11]]
        assert proven(poller) == 3


def test_every_candle_that_is_young_enough_is_filled_at_the_quote(tmp_path: Path) -> None:
    """Bars of a minute, an absence of ten: all of them within the delay, one ticker."""
    candles = generate_candles(200, seed=4, bar=60, holes=0, quiet=0)
    with world_of(tmp_path, candles, 60) as world:
        exchange = {"base_url": world.exchange.url, "timeframe": "1m"}
        with world.poller(
            BUYER, exchange=exchange, account={"fill": "quote"}, schedule={"max_decision_delay_seconds": 500.0}
        ) as poller:
            for minute in (50, 61):
                world.dial.now = START + minute * 60 + 5
                poll(poller)
            rows = world.rows()["decisions"]
            assert [row[3] for row in rows] == ["policy", "missed", "missed", *["policy"] * 9]
            assert [row[17] is None for row in rows] == [False, True, True, *[False] * 9]
            assert len({row[17] for row in rows[3:]}) == 1
            assert proven(poller) == 12


def test_another_model_goes_on_with_the_account_and_its_own_hidden_state(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        for model, hours in ((MODEL, (30, 31, 32)), (OTHER, (33, 34)), (MODEL, (35,))):
            with world.poller(model, schedule={"warmup_bars": 4}) as poller:
                world.run(poller, hours)
        rows = world.rows()
        assert [row[9] for row in rows["decisions"]] == [MODEL.model_id] * 3 + [OTHER.model_id] * 2 + [MODEL.model_id]
        starts = [row[18] and (row[18] - START) // HOUR for row in rows["decisions"]]
        assert starts == [26, None, None, 29, None, 31]
        assert events_at(world.url) == ["model_swapped"] * 2
        with world.poller(MODEL) as poller:
            assert proven(poller) == 6


def test_accounts_beside_each_other_decide_as_each_would_alone(tmp_path: Path) -> None:
    """Several traders, one question to the exchange, one transaction a bar."""
    with world_of(tmp_path) as world:
        settings = world.settings(schedule={"warmup_bars": 5})
        alone = {}
        for name, model in (("main", MODEL), ("rival", OTHER)):
            url = f"sqlite:///{tmp_path}/{name}.sqlite"
            sections = {"account": {"name": name}, "schedule": {"warmup_bars": 5}, "ledger": {"url": url}}
            with world.poller(model, **sections) as poller:
                world.run(poller, range(30, 40))
            alone[name] = rows_at(url)
        ledger = open_writer(world.url)
        traders = [Trader(terms_of(settings), MODEL), Trader(terms_of(settings)._replace(name="rival"), OTHER)]
        commits: list[object] = []
        event.listen(ledger.engine, "commit", commits.append)
        clock = world.dial.clock
        poller = Poller(settings, clock, ledger, traders, Feed(settings.exchange, clock))
        world.exchange.requests.clear()
        world.run(poller, range(30, 40))
        assert world.exchange.requests["/v2/candles/trade:1h:tBTCUSD/hist"] == 10
        assert len(commits) == 10
        together = all_rows(ledger)
        assert together["candles"] == alone["main"]["candles"]
        for table in ("accounts", "decisions", "fills", "states"):
            assert together[table] == alone["main"][table] + alone["rival"][table]
        assert proven(poller) == 20
        ledger.close()


def test_a_challenger_that_comes_later_begins_at_the_newest_candle(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(MODEL, schedule={"warmup_bars": 5}) as poller:
            world.run(poller, range(30, 33))
        settings = world.settings(schedule={"warmup_bars": 30})
        ledger = open_writer(world.url)
        traders = [Trader(terms_of(settings), MODEL), Trader(terms_of(settings)._replace(name="rival"), OTHER)]
        clock = world.dial.clock
        poller = Poller(settings, clock, ledger, traders, Feed(settings.exchange, clock))
        world.run(poller, [36, 37])
        rows = all_rows(ledger)
        assert [(row[0], hour(row), row[3]) for row in rows["decisions"]][3:] == [
            ("main", 33, "missed"), ("main", 34, "missed"), ("main", 35, "missed"),
            ("main", 36, "policy"), ("main", 37, "policy"), ("rival", 36, "policy"), ("rival", 37, "policy"),
        ]  # fmt: skip
        assert [hour(row) for row in rows["candles"]] == list(range(6, 38))
        assert proven(poller) == 10
        ledger.close()


def test_a_stop_comes_between_two_bars(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(MODEL) as poller:
            world.run(poller, [30])
            waiter = InlineWaiter()
            event.listen(poller.ledger.engine, "commit", lambda _: waiter.stop())
            world.dial.now = START + 41 * HOUR + 30
            [attempt] = poll_once([poller], waiter)
            assert (attempt.over, attempt.error) == (False, None)
            assert [hour(row) for row in world.rows()["decisions"]] == [30, 31]
        with world.poller(MODEL) as poller:
            world.run(poller, [40])
            assert proven(poller) == 11


def test_a_bar_that_has_no_candle_yet_is_waited_for(tmp_path: Path) -> None:
    """An hour without a trade has no candle; it becomes a flat one once a later hour has one."""
    candles = generate_candles(60, seed=5, holes=0, quiet=0)
    with world_of(tmp_path, [c for c in candles if c.bar_time not in (START + 31 * HOUR, START + 32 * HOUR)]) as world:
        with world.poller(MODEL) as poller:
            polls = []
            for h in range(30, 35):
                world.dial.now = START + (h + 1) * HOUR + 30
                polls.append(poll(poller))
            assert polls == [1, 0, 0, 3, 1]
        reasons = [row[3] for row in world.rows()["decisions"]]
        assert reasons == ["policy", "synthetic", "synthetic", "policy", "policy"]
        ledger = open_reader(world.url)
        with ledger.reading() as connection:
            assert reading.read_events(connection, "gap") == [{"bar_time": START + 31 * HOUR, "bars": 2}]
        ledger.close()


def test_a_quote_far_from_the_close_is_nonsense_and_the_bar_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world_of(tmp_path) as world, world.poller(model_of(1), account={"fill": "quote"}) as poller:
        world.run(poller, range(30, 33))
        right = poller.feed.ticker
        with monkeypatch.context() as wrong:
            wrong.setattr(poller.feed, "ticker", lambda: Ticker(*(10 * price for price in right())))
            with pytest.raises(ExchangeError, match="far from the close"):
                world.run(poller, [33])
        assert len(world.rows()["decisions"]) == 3
        world.run(poller, [33])
        assert len(world.rows()["decisions"]) == 4
        proven(poller)


def test_what_another_account_saw_later_is_not_known_yet(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(model_of(1)) as poller:
            world.run(poller, range(30, 36))
        with world.poller(model_of(2), account={"name": "other"}) as poller:
            world.run(poller, [31, 32])
            assert [hour(row) for row in world.rows()["decisions"] if row[0] == "other"] == [31, 32]
            proven(poller)


def test_no_account_begins_below_a_candle_that_is_not_believed(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, world.poller(model_of(1)) as poller:
        world.exchange.fault = Fault("print_10x", "candles")
        with pytest.raises(ExchangeError, match="not confirmed"):
            world.run(poller, [40])
        assert world.rows()["decisions"] == []
        world.exchange.fault = None
        world.run(poller, [40])
        assert [hour(row) for row in world.rows()["decisions"]] == [40]


def test_an_answer_after_the_deadline_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "ONCE_SECONDS", 0.2)
    with world_of(tmp_path) as world, world.poller(model_of(1), exchange={"timeout_seconds": 1e9}) as poller:
        world.exchange.fault = Fault("timeout", "all")
        [attempt] = poll_once([poller], Waiter())
        with pytest.raises(ExchangeError, match="in time"):
            raise_failures([attempt])


def test_a_bar_without_a_finite_answer_is_the_exchanges_fault(tmp_path: Path) -> None:
    overflowing = replace(
        MODEL,
        policy=replace(MODEL.policy, networks=(replace(MODEL.policy.networks[0], heads_bias=np.full(4, np.inf)),)),
    )
    with world_of(tmp_path) as world, world.poller(overflowing) as poller:
        with np.errstate(all="ignore"), pytest.raises(ExchangeError, match="finite output"):
            world.run(poller, [30])
        assert world.rows()["decisions"] == []
