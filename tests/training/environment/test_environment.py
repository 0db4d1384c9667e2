"""The environments against the article's rules, restated here on their own."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO

from bot.market import Candle
from bot.trading import Rules
from training.environment import BitcoinTradingEnv, VectorTradingEnv, frame
from training.environment.single import ohlcv

Walk = Callable[..., list[Candle]]
INFO = ("profit", "value", "balance", "stocks", "stocks_pct")


def restated(candles: Sequence[Candle], start: int, actions: Sequence[int], benchmark: str = "hold") -> np.ndarray:
    """The article's rules once more: a row of observation (7), reward, ruin and info (5) for reset and each step."""
    rows = []
    money, coins, last_profit = 10_000.0, 1.0, 0.0
    for i in range(start, start + len(actions) + 1):
        now, then = candles[i], candles[max(i - 1, 0)]
        if i > start:
            price = candles[i - 1].close
            match actions[i - start - 1]:
                case 1 if money / 2 > 1:
                    coins += (1 - 0.00075) * (money / 2) / price
                    money /= 2
                case 2 if coins / 2 > 0.0001:
                    money += (1 - 0.00075) * (coins / 2) * price
                    coins /= 2
        seen = [100 * (x / y - 1) if y else 0.0 for x, y in zip(now[1:6], then[1:6], strict=True)]
        value = money + coins * now.close
        against = 10_000 + 1.0 * (now.close if benchmark == "hold" else candles[start].close)
        profit = value - against
        ruined = value < 0.1 * (10_000 + candles[start].close)
        observation = np.array([*seen, money / 10_000, coins], np.float32).tolist()
        info = [profit, value, money, coins, 100 * coins * now.close / value]
        rows.append([*observation, profit - last_profit, ruined, *info])
        last_profit = profit
    return np.array(rows)


def played(env: BitcoinTradingEnv, start: int, actions: Sequence[int]) -> np.ndarray:
    seen, info = env.reset(options={"start": start})
    rows = [[*seen.tolist(), 0.0, False, *(info[name] for name in INFO)]]
    for number, action in enumerate(actions, 1):
        seen, reward, terminated, truncated, info = env.step(action)
        assert truncated == (number == env.length)
        rows.append([*seen.tolist(), reward, terminated, *(info[name] for name in INFO)])
    return np.array(rows)


def random_actions(chance: np.random.Generator, steps: int) -> list[int]:
    return chance.choice(3, size=steps, p=chance.dirichlet([1, 1, 1])).tolist()


def crash(ups: int, downs: int) -> list[Candle]:
    """A price of 100 for some bars, then of 1."""
    prices = [100.0] * ups + [1.0] * downs
    return [Candle(3600 * i, price, price, price, price, 1.0) for i, price in enumerate(prices)]


def test_a_thousand_real_windows_are_the_articles(real_candles: list[Candle]) -> None:
    env = BitcoinTradingEnv(frame(real_candles), sample_length=100)
    chance = np.random.default_rng(1)
    starts = [0, len(real_candles) - 101, *chance.integers(len(real_candles) - 100, size=998).tolist()]
    for start in starts:
        actions = random_actions(chance, 100)
        np.testing.assert_array_equal(played(env, start, actions), restated(real_candles, start, actions))


@pytest.mark.parametrize("benchmark", ["hold", "initial"])
def test_whole_windows_under_both_benchmarks(walk: Walk, benchmark: str) -> None:
    candles = walk(800)
    env = BitcoinTradingEnv(frame(candles), benchmark=benchmark)
    chance = np.random.default_rng(2)
    for start in (0, 150, 299):
        actions = random_actions(chance, 500)
        np.testing.assert_array_equal(played(env, start, actions), restated(candles, start, actions, benchmark))


def test_all_data_is_one_window_to_the_last_candle(walk: Walk) -> None:
    candles = walk(40)
    env = BitcoinTradingEnv(frame(candles), all_data=True)
    actions = random_actions(np.random.default_rng(3), 39)
    np.testing.assert_array_equal(played(env, 0, actions), restated(candles, 0, actions))
    env.reset(options={"start": 37})
    assert [env.step(0)[3], env.step(0)[3]] == [False, True]


def test_starts_are_drawn_from_all_that_leave_a_whole_window(walk: Walk) -> None:
    env = BitcoinTradingEnv(frame(walk(13)), sample_length=10)
    env.reset(seed=4)
    starts = {env.start}
    for _ in range(50):
        env.reset()
        starts.add(env.start)
    assert starts == {0, 1, 2}
    with pytest.raises(ValueError, match="0 to 2, not at 3"):
        env.reset(options={"start": 3})


def test_ruin_terminates() -> None:
    """All in at 100, then 1: less than a tenth of the worth at the start is left."""
    env = BitcoinTradingEnv(frame(crash(12, 3)), sample_length=13)
    env.reset(options={"start": 0})
    ends = [env.step(1)[2:4] for _ in range(13)]
    assert ends == [(False, False)] * 11 + [(True, False), (True, True)]


def test_other_accounts_are_seen_in_units_of_themselves(walk: Walk) -> None:
    env = BitcoinTradingEnv(frame(walk(20)), initial_balance=500, initial_stocks=0, sample_length=5)
    seen, info = env.reset(seed=0)
    assert seen[5:].tolist() == [1, 0]
    assert info["stocks_pct"] == 0
    seen, _, _, _, info = env.step(1)
    assert seen[5:].tolist() == [0.5, np.float32(info["stocks"])]


def test_after_the_end_and_with_no_action_there_is_no_step(walk: Walk) -> None:
    env = BitcoinTradingEnv(frame(walk(5)), sample_length=1)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="not 3"):
        env.step(3)
    env.step(0)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(0)


def test_candles_that_cannot_be_are_refused(walk: Walk) -> None:
    candles = frame(walk(501))
    BitcoinTradingEnv(candles)
    with pytest.raises(ValueError, match="more than 500 candles"):
        BitcoinTradingEnv(candles[:500])
    with pytest.raises(ValueError, match="missing: c, v"):
        BitcoinTradingEnv(candles[["t", "o", "h", "l"]])
    for wrong in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="finite, positive prices"):
            BitcoinTradingEnv(candles.replace(candles["v"].iloc[2], wrong))
    with pytest.raises(ValueError, match="'hold' or 'initial'"):
        BitcoinTradingEnv(candles, benchmark="best")  # type: ignore[arg-type]


def test_any_numeric_type_gives_the_same(walk: Walk) -> None:
    candles = frame(walk(30)).round()
    whole, fractional = (BitcoinTradingEnv(candles.astype(kind), sample_length=9) for kind in ("int64", "float64"))
    actions = [1, 0, 2, 2, 1, 1, 1, 2, 0]
    np.testing.assert_array_equal(played(whole, 4, actions), played(fractional, 4, actions))


@pytest.mark.parametrize("all_data", [False, True])
def test_gymnasium_finds_nothing_wrong(walk: Walk, all_data: bool) -> None:
    check_env(BitcoinTradingEnv(frame(walk(600)), all_data=all_data), skip_render_check=True)


def test_a_stock_agent_trains_on_it(walk: Walk) -> None:
    agent = PPO("MlpPolicy", BitcoinTradingEnv(frame(walk(200)), sample_length=50), n_steps=64, device="cpu", seed=0)
    before = [weight.clone() for weight in agent.policy.parameters()]
    agent.learn(256)
    after = list(agent.policy.parameters())
    assert all(torch.isfinite(weight).all() for weight in after)
    assert not all(torch.equal(*pair) for pair in zip(before, after, strict=True))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    accounts=st.integers(1, 9),
    length=st.integers(1, 60),
    benchmark=st.sampled_from(["hold", "initial"]),
    deviation=st.sampled_from([0.001, 0.01, 0.5]),
)
def test_many_accounts_are_as_many_single_ones(
    walk: Walk, seed: int, accounts: int, length: int, benchmark: str, deviation: float
) -> None:
    candles = walk(length + 30, seed, deviation)
    single = BitcoinTradingEnv(frame(candles), sample_length=length, benchmark=benchmark)
    many = VectorTradingEnv(ohlcv(frame(candles)), accounts, length, benchmark=benchmark)
    chance = np.random.default_rng(seed)
    starts, actions = chance.integers(30, size=accounts), chance.integers(3, size=(length, accounts))
    seen = [many.reset(torch.from_numpy(starts))]
    steps = [many.step(torch.from_numpy(row)) for row in actions]
    seen += [step[0] for step in steps]
    for n, start in enumerate(starts.tolist()):
        rows = played(single, start, actions[:, n].tolist())
        np.testing.assert_array_equal(np.array([each[n].tolist() for each in seen]), rows[:, :7])
        assert [step[1][n].item() for step in steps] == rows[1:, 7].tolist()
        ends = rows[1:, 8].astype(bool)
        ends[-1] = True
        assert [step[2][n].item() for step in steps] == ends.tolist()
        assert [many.profit[n].item(), many.balance[n].item(), many.stocks[n].item()] == rows[-1, [9, 11, 12]].tolist()


def test_random_windows_are_repeatable_and_reach_everywhere(walk: Walk) -> None:
    candles = ohlcv(frame(walk(25)))
    one, other = (VectorTradingEnv(candles, 500, 20, seed=5) for _ in range(2))
    assert torch.equal(one.reset(), other.reset())
    assert torch.equal(one.index[0], other.index[0])
    assert set(one.index[0].tolist()) == {0, 1, 2, 3, 4}
    with pytest.raises(ValueError, match="from 0 to 4"):
        one.reset(torch.full((500,), 5))
    with pytest.raises(ValueError, match="more than 25"):
        VectorTradingEnv(candles, 1, 25)


def test_many_accounts_stop_at_the_end(walk: Walk) -> None:
    many = VectorTradingEnv(ohlcv(frame(walk(5))), 3, 2, rules=Rules(initial_balance=0.0))
    for _ in range(2):
        many.step(torch.ones(3, dtype=torch.int64))
    assert many.stocks.tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="call reset"):
        many.step(torch.zeros(3, dtype=torch.int64))


def test_frame_keeps_every_number(walk: Walk) -> None:
    candles = walk(9)
    table = frame(candles)
    assert isinstance(table, pd.DataFrame)
    assert [Candle(int(row[0]), *row[1:]) for row in table.itertuples(index=False)] == candles
