"""The figures of an account's history are those of the ledger's rows, however it is cut."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bot.errors import UsageError
from bot.ledger import Ledger, account_summary
from bot.market import fill_gaps
from bot.report import account_statistics, align_histories
from bot.report.history import account_names, history_of, mix, models_by_last_bar, months, read_history
from bot.report.records import cut_record, join_records
from tests.bot.report.conftest import CANDLES, MODELS, RUN, WARMUP, read
from tests.harness import HOUR, rows_at


def test_the_figures_follow_from_the_ledgers_rows(file: Path, ledger: Ledger) -> None:
    (main_account,) = read(ledger, "main")
    result = account_statistics(main_account)
    rows = rows_at(f"sqlite:///{file}")
    decisions = [row for row in rows["decisions"] if row[0] == "main"]
    fills = [row for row in rows["fills"] if row[0] == "main"]
    close = {row[1]: row[5] for row in rows["candles"]}
    bars = [row[1] for row in decisions]
    values = [10_000.0 + close[bars[0]], *(row[14] for row in decisions[1:])]
    shares = [row[13] * close[row[1]] / row[14] for row in decisions]
    share = sum(shares) / len(shares)
    mixed = math.prod(1 + share * (close[now] / close[before] - 1) for before, now in pairwise(bars))
    highest = [max(values[: place + 1]) for place in range(len(values))]

    assert result["bars"] == len(bars) == len(RUN) - WARMUP
    assert (result["first"], result["last"]) == (bars[0], bars[-1])
    assert result["value"] == decisions[-1][14]
    assert result["hold_value"] == decisions[-1][15]
    assert result["excess"] == decisions[-1][14] - decisions[-1][15]
    assert result["log_return"] == pytest.approx(math.log(values[-1] / values[0]), rel=1e-12)
    assert result["exposure"] == pytest.approx(share, rel=1e-12)
    assert result["constant_mix_log_return"] == pytest.approx(math.log(mixed), rel=1e-9)
    hold = math.log(decisions[-1][15] / decisions[0][15])
    assert result["excess_log_return"] == pytest.approx(math.log(values[-1] / values[0]) - hold, rel=1e-9)
    assert result["timing_log_return"] == pytest.approx(math.log(values[-1] / values[0] / mixed), rel=1e-9)
    assert result["max_drawdown"] == pytest.approx(
        max(1 - v / h for v, h in zip(values, highest, strict=True)), rel=1e-12
    )
    assert result["trades"] == len(fills) > 100
    assert result["commission"] == pytest.approx(sum(fill[6] for fill in fills), rel=1e-12)
    assert result["slippage"] == 0.0
    assert result["synthetic"] == sum(candle.synthetic for candle in RUN[WARMUP:]) > 0
    assert (result["missed"], result["swaps"]) == (0, 1)
    assert result["models"] == [model.model_id for model in MODELS]


def test_they_are_those_of_status(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        result, status = account_statistics(read_history(connection, "main")), account_summary(connection, "main")
    ledger.close()
    assert {name: result[name] for name in ("value", "hold_value", "excess", "trades", "bars")} == {
        name: status[name] for name in ("value", "hold_value", "excess", "trades", "bars")
    }


def test_the_months_multiply_to_the_whole(ledger: Ledger) -> None:
    for one in read(ledger, "main", "<b>"):
        rows = months(one)
        assert [row["month"] for row in rows] == sorted(
            {str(t.astype("datetime64[M]")) for t in one.bar_times.astype("datetime64[s]")}
        )
        assert sum(row["bars"] for row in rows) == len(one.bar_times)
        assert sum(row["trades"] for row in rows) == len(one.fills)
        for name, values in {"value": one.values, "hold": one.holds, "mix": mix(one)}.items():
            assert math.prod(1 + row[name] for row in rows) == pytest.approx(values[-1] / values[0], rel=1e-12)


def test_a_cut_in_the_middle_starts_from_the_worth_before_its_first_action(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        whole = read_history(connection, "main")
        first, last = int(whole.bar_times[300]), int(whole.bar_times[600])
        part = read_history(connection, "main", first, last + 1)
    ledger.close()
    assert np.array_equal(part.values[1:], whole.values[301:601])
    fill = part.fills.get(first)
    assert part.values[0] == pytest.approx(whole.values[300] + (fill.commission if fill else 0.0), rel=1e-12)
    assert len(part.fills) == sum(first <= time <= last for time in whole.fills)


def test_accounts_are_compared_over_the_hours_they_share(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        both, left_out = align_histories([read_history(connection, name) for name in account_names(connection, "main")])
    ledger.close()
    assert left_out == []
    assert [one.terms.name for one in both] == ["main", "<b>"]
    assert np.array_equal(both[0].bar_times, both[1].bar_times)
    assert [len(one.bar_times) for one in both] == [len(fill_gaps(CANDLES[:1_500], HOUR)) - 200] * 2
    assert account_statistics(both[0])["hold_log_return"] == account_statistics(both[1])["hold_log_return"]


def test_who_is_not_there_is_named(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        for ask in (read_history, account_names):
            with pytest.raises(UsageError, match="'nobody'"):
                ask(connection, "nobody")
    ledger.close()


def test_the_newest_model_is_the_last_after_a_rollback(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        history = read_history(connection, "main")._replace(models=["a", "b", "b", "a"])
    ledger.close()
    assert models_by_last_bar(history) == ["b", "a"]


def test_a_record_is_the_same_cut_joined_or_read_whole(ledger: Ledger) -> None:
    (whole,) = read(ledger, "main")
    middle = int(whole.bar_times[700])
    parts = [cut_record(whole.record, 0, middle), cut_record(whole.record, middle, 2**62)]
    again = history_of(join_records(*parts))
    for name in ("values", "shares", "traded", "commissions", "in_sample", "holds"):
        assert np.array_equal(getattr(again, name), getattr(whole, name)), name
    assert (again.reasons, again.models, again.fills) == (whole.reasons, whole.models, whole.fills)
