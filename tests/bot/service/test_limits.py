"""The exchange's limits: asked for at an account's first bar, kept with it, and never asked for again."""

import json
from pathlib import Path

import pytest

from bot.errors import UsageError
from bot.ledger import open_reader, open_writer, read_all_terms, read_terms, verify
from bot.market import Feed, MarketLimits
from bot.market.limits import parse_limits
from bot.model import rule_model, save_model
from bot.service import Poller, replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader, terms_of
from tests.harness import hourhand, model_of, rows_at, world_of

BUYER = model_of(3, bias=(-9.0, 9.0, -9.0))
SIMULATED = MarketLimits(0.00004, 0.0, 1e-08)  # of bot.simulator.market
EXCHANGE = {"limits": "exchange"}


def test_they_are_the_markets_own_and_stay_with_the_account(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(BUYER, account=EXCHANGE) as poller:
            world.run(poller, range(30, 34))
        asked = world.exchange.requests.total()
        with world.poller(BUYER, account=EXCHANGE) as poller:
            limits = poller.account_states[0].trader.terms.rules.limits
            assert limits == SIMULATED
            assert world.exchange.requests.total() == asked
            world.run(poller, range(34, 60))
            with poller.ledger.reading() as connection:
                assert verify(connection) == (30, [])
                assert [terms.limits for terms in read_all_terms(connection)] == ["exchange"]
        rows = world.rows()
        assert rows["account_limits"] == [("main", *SIMULATED)]
        for _, _, _, price, amount, cost, _ in rows["fills"]:
            steps = cost / price / 1e-08
            assert steps == pytest.approx(round(steps), abs=1e-4)
            assert amount < cost / price
        assert {row[3] for row in rows["decisions"][-5:]} == {"minimum"}
        own = {"account": {"limits": "own"}}
        with pytest.raises(UsageError, match=r"account\.limits is own, but account 'main' was opened with exchange"):
            world.poller(BUYER, **own).__enter__()


def test_they_go_with_a_share_at_the_start(tmp_path: Path) -> None:
    """An account that begins with a share in coins, and a planning rule, which sees the account's own trades."""
    account = {"limits": "exchange", "initial_share": 0.9}
    with world_of(tmp_path) as world:
        mix = rule_model("mix?share=0.5")
        for hours in (range(30, 34), range(34, 40)):
            settings = world.settings(account=account)
            ledger = open_writer(settings.ledger.url)
            trader = Trader(terms_of(settings), mix, initial_share=0.9)
            feed = Feed(settings.exchange, world.dial.clock)
            world.run(Poller(settings, world.dial.clock, ledger, [trader], feed), hours)
            with ledger.reading() as connection:
                assert verify(connection).differences == []
            ledger.close()
        rows = world.rows()
        assert rows["account_limits"] == [("main", *SIMULATED)]
        assert 1 <= len(rows["fills"]) <= 4
        last = rows["decisions"][-1]
        assert abs(1 - last[12] / last[14] - 0.5) < 0.15


def test_an_own_account_does_not_ask(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(BUYER) as poller:
            world.run(poller, [30])
        assert world.rows()["account_limits"] == []
        with pytest.raises(UsageError, match=r"account\.limits is exchange, but account 'main' was opened with own"):
            world.poller(BUYER, account=EXCHANGE).__enter__()


def test_a_replay_has_them_from_the_ledger_of_the_daemon(tmp_path: Path) -> None:
    """And gives its rows, bit for bit; without that ledger it says what to do."""
    with world_of(tmp_path) as world:
        candles = world.exchange.candles
        with world.poller(BUYER, account=EXCHANGE) as poller:
            world.run(poller, range(30, 50))
        live = world.rows()
        file = tmp_path / "candles.csv"
        lines = [",".join(map(str, candle[:6])) for candle in candles[10:50]]
        file.write_text("\n".join(["t,o,h,l,c,v", *lines]) + "\n")
        url = f"sqlite:///{tmp_path}/replay.sqlite"
        given = ("replay", "--candles", str(file), "--warmup", "20", "--ledger", url)
        env = {"HOURHAND_ACCOUNT__LIMITS": "exchange", "HOURHAND_POLICY__MODEL": str(tmp_path / "model")}
        save_model(BUYER, tmp_path / "model")
        refused = hourhand(*given, cwd=tmp_path, HOURHAND_LEDGER__URL=f"sqlite:///{tmp_path}/none.sqlite", **env)
        assert refused.returncode == 2
        assert "no ledger has those of account 'main'" in refused.stderr
        done = hourhand(*given, "--json", cwd=tmp_path, HOURHAND_LEDGER__URL=world.url, **env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["bars"] == 20
    rows = rows_at(url)
    assert [row[:-1] for row in rows["decisions"]] == [row[:-1] for row in live["decisions"]]
    assert rows["fills"] == live["fills"]
    assert rows["account_limits"] == live["account_limits"]


def test_an_account_of_before_reads_as_its_own(tmp_path: Path) -> None:
    """A ledger of the second schema, shown to a reader as it is and brought up to date by a writer."""
    file = tmp_path / "old.sqlite"
    ledger = open_writer(f"sqlite:///{file}")
    replay_candles(ledger, Trader(AccountTerms("main", "a:BTC/USD:1h"), BUYER), generate_candles(30, 1, holes=0.0), 10)
    with ledger.writing() as connection:
        connection.exec_driver_sql("DROP TABLE account_limits")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    ledger.close()
    reader = open_reader(f"sqlite:///{file}")
    with reader.reading() as connection:
        assert verify(connection) == (20, [])
        terms = read_terms(connection, "main")
    reader.close()
    assert terms == AccountTerms("main", "a:BTC/USD:1h")
    writer = open_writer(f"sqlite:///{file}")
    with writer.reading() as connection:
        assert verify(connection) == (20, [])
        assert read_all_terms(connection) == [terms]
    writer.close()


TICK_SIZE, DECIMALS, SIGNIFICANT = 4, 2, 3


@pytest.mark.parametrize(
    ("market", "mode", "expected"),
    [
        ({"limits": {"amount": {"min": 0.0001}, "cost": {"min": 5}}, "precision": {"amount": 1e-05}}, TICK_SIZE,
         (0.0001, 5.0, 1e-05)),
        ({"limits": {"amount": {"min": 0.00004}, "cost": {"min": None}}, "precision": {"amount": 8}}, SIGNIFICANT,
         (0.00004, 0.0, 1e-08)),
        ({"limits": {"amount": None}, "precision": {"amount": 0}}, DECIMALS, (0.0, 0.0, 1.0)),
        ({"limits": {}, "precision": {"amount": None}}, DECIMALS, (0.0, 0.0, 0.0)),
        ({}, TICK_SIZE, (0.0, 0.0, 0.0)),
        ({"precision": {"amount": 10.0}}, TICK_SIZE, (0.0, 0.0, 10.0)),
    ],
)  # fmt: skip
def test_limits_as_ccxt_writes_them(market: dict[str, object], mode: int, expected: tuple[float, ...]) -> None:
    assert parse_limits(market, mode) == expected


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), "many", [1]])
def test_limits_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse_limits({"limits": {"amount": {"min": wrong}}}, TICK_SIZE)
    with pytest.raises((ValueError, TypeError)):
        parse_limits({"precision": {"amount": wrong}}, TICK_SIZE)
