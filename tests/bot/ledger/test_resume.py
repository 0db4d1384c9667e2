"""Accounts: fixed when they are opened, side by side in one ledger, each going on where it stands; and replays."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from bot.errors import LedgerError, UsageError
from bot.ledger import open_reader, open_writer, verify
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.simulator.generate import START
from bot.trading import AccountTerms, Rules, Trader
from tests.harness import HOUR, MARKET, all_rows, events_at, model_of, world_of

MODEL = model_of(1)
CANDLES = generate_candles(120, seed=5, holes=0, quiet=0)


CHANGES: list[tuple[str, dict[str, dict[str, Any]]]] = [
    ("account.initial_balance", {"account": {"initial_balance": 5.0}}),
    ("account.initial_stocks", {"account": {"initial_stocks": 0.0}}),
    ("account.commission", {"account": {"commission": 0.001}}),
    ("account.trade_fraction", {"account": {"trade_fraction": 0.25}}),
    ("account.min_buy_value", {"account": {"min_buy_value": 2.0}}),
    ("account.min_sell_amount", {"account": {"min_sell_amount": 0.001}}),
    ("account.fill", {"account": {"fill": "quote"}}),
    ("account.slippage_bps", {"account": {"slippage_bps": 1.0}}),
    ("policy.seed", {"policy": {"seed": 1}}),
    ("exchange.id, exchange.symbol or exchange.timeframe", {"exchange": {"timeframe": "1d"}}),
]


def test_terms_are_fixed_with_the_first_row(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(MODEL) as poller:
            world.run(poller, [30])
        for key, changed in CHANGES:
            exchange = {"base_url": world.exchange.url} | changed.get("exchange", {})
            with (
                pytest.raises(UsageError, match=f"settings: {key} is .*another account.name"),
                world.poller(MODEL, **changed | {"exchange": exchange}),
            ):
                pass
        with world.poller(model_of(2), policy={"mode": "argmax"}) as poller:  # model and mode may change
            world.run(poller, [31])
        rows = world.rows()["decisions"]
        assert [row[10] for row in rows] == ["sample", "argmax"]


def test_accounts_live_side_by_side_and_each_goes_on_where_it_stands(tmp_path: Path) -> None:
    """Taken up in turns, with hours that only the other one saw; and the same candles by the day."""
    with world_of(tmp_path) as world:
        other = {"account": {"name": "other", "initial_stocks": 0.0}, "policy": {"seed": 4}}
        for hours, sections in (
            (range(60, 64), {}), (range(70, 73), other), (range(80, 82), {}), (range(82, 84), other),
        ):  # fmt: skip
            with world.poller(MODEL, **sections) as poller:
                world.run(poller, hours)
        rows = world.rows()
        assert [(row[0], row[3]) for row in rows["decisions"]].count(("main", "missed")) == 16
        assert [row[0] for row in rows["decisions"]] == ["main"] * 22 + ["other"] * 14
        # On the same candles from the same hour on, an account stands where it would have stood alone.
        alone = open_writer("sqlite://")
        terms = AccountTerms("other", MARKET, Rules(initial_stocks=0.0), seed=4)
        replay_candles(alone, Trader(terms, MODEL), [*world.exchange.candles[50:73]], 20)
        mine = [row for row in rows["decisions"] if row[0] == "other"][:3]
        assert all_rows(alone)["decisions"] == mine
        alone.close()
        ledger = open_reader(world.url)
        with ledger.reading() as connection:
            assert verify(connection) == (36, [])
        ledger.close()


def test_a_model_that_is_first_used_on_an_older_bar_later_is_proven(tmp_path: Path) -> None:
    """Another account replays older candles into the ledger of the first, and a third some that are there already."""
    ledger = open_writer(f"sqlite:///{tmp_path}/ledger.sqlite")
    for name, first, last in (("main", 40, 70), ("older", 0, 30), ("overlapping", 20, 90)):
        replay_candles(ledger, Trader(AccountTerms(name, MARKET), MODEL), CANDLES[first:last], 10)
    with ledger.reading() as connection:
        assert verify(connection) == (20 + 20 + 60, [])
    assert len(all_rows(ledger)["candles"]) == 90
    ledger.close()


def test_a_replay_goes_on_after_its_last_bar() -> None:
    trader = Trader(AccountTerms("main", MARKET), MODEL)
    whole, parts = open_writer("sqlite://"), open_writer("sqlite://")
    replay_candles(whole, trader, CANDLES, 10)
    for end in (40, 41, 90, 120):
        replay_candles(parts, trader, CANDLES[:end], 10)
    assert replay_candles(parts, trader, CANDLES, 10)["bars"] == 0
    assert all_rows(parts) == all_rows(whole)
    with pytest.raises(UsageError, match="do not follow"):
        replay_candles(parts, trader, generate_candles(5, seed=1, start=START + 500 * HOUR), 10)


@pytest.mark.parametrize("warmup", [120, 1000])
def test_a_warm_up_that_leaves_nothing_is_wrong_usage(warmup: int) -> None:
    with pytest.raises(UsageError, match=f"--warmup {warmup} leaves none of the 120 candles"):
        replay_candles(open_writer("sqlite://"), Trader(AccountTerms("main", MARKET), MODEL), CANDLES, warmup)


def test_an_account_that_halves_its_money_for_ever_is_no_failure() -> None:
    """Without a minimum, a thousand buys in a row reach the smallest numbers there are."""
    buyer = model_of(3, bias=(-30.0, 30.0, -30.0))
    terms = AccountTerms("main", MARKET, Rules(min_buy_value=0.0))
    ledger = open_writer("sqlite://")
    replay_candles(ledger, Trader(terms, buyer, "argmax"), generate_candles(1200, seed=2, holes=0, price=1e6), 10)
    with ledger.reading() as connection:
        assert verify(connection) == (1190, [])
    assert all_rows(ledger)["decisions"][-1][3] == "minimum"
    ledger.close()


@pytest.mark.parametrize("value", [-1e-8, 0.0])
def test_a_zero_has_no_sign(value: float) -> None:
    """A state value that rounds to zero from below would come back from SQLite as another text."""
    model = MODEL
    (network,) = model.policy.networks
    heads, bias = network.heads.copy(), network.heads_bias.copy()
    heads[:, 3], bias[3] = 0.0, value
    still = replace(model.policy, networks=(replace(network, heads=heads, heads_bias=bias),))
    step = Trader(AccountTerms("main", MARKET), replace(model, policy=still))
    decision = step.step(step.start(), CANDLES[0]).decision
    assert np.signbit(decision.state_value) == np.False_


@pytest.mark.parametrize(
    "harm", ["DELETE FROM states", "UPDATE states SET hidden = x'00'", "UPDATE states SET hidden = zeroblob(160)"]
)
def test_a_hidden_state_that_is_lost_is_made_again_from_the_candles(tmp_path: Path, harm: str) -> None:
    with world_of(tmp_path) as world:
        with world.poller(MODEL) as poller:
            world.run(poller, range(30, 34))
            with poller.ledger.writing() as connection:
                connection.execute(text(harm))
        with world.poller(MODEL) as poller:
            world.run(poller, [34, 35])
            with poller.ledger.reading() as connection:
                assert verify(connection) == (6, [])
        rows = world.rows()["decisions"]
        assert [row[18] and (row[18] - START) // HOUR for row in rows] == [10, None, None, None, 14, None]
        assert events_at(world.url) == []


def test_a_decision_without_its_candle_is_no_ledger_to_go_on_with(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(MODEL) as poller:
            world.run(poller, [30])
            with poller.ledger.writing() as connection:
                connection.execute(text("DELETE FROM candles"))
        with pytest.raises(LedgerError, match="restore a backup"), world.poller(MODEL):
            pass
