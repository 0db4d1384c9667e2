"""The network against a plain restatement, one bar against many at once, and the draw of an action."""

from math import exp, tanh
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.model import BUY, DECIMALS, HOLD, SELL, Network, NetworkSizes, choose, draw

Weights = dict[str, np.ndarray]


def weights_of(sizes: NetworkSizes, seed: int, scale: float = 0.5) -> Weights:
    chance = np.random.default_rng(seed)
    return {name: chance.normal(0, scale, shape).astype(np.float32) for name, shape in sizes.shapes().items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x)) if x > 0 else exp(x) / (1 + exp(x))


def affine(w: Weights, name: str, x: list[float], suffix: str = "") -> list[float]:
    rows, biases = w[f"{name}weight{suffix}"].tolist(), w[f"{name}bias{suffix}"].tolist()
    return [b + sum(c * v for c, v in zip(row, x, strict=True)) for row, b in zip(rows, biases, strict=True)]


def restated(
    sizes: NetworkSizes, w: Weights, market: list[float], account: list[float], h: list[float], c: list[float]
) -> tuple[list[float], float, list[float], list[float]]:
    """The article's network as its formulas are written in textbooks, one number at a time."""
    at_input = sizes.account_at == "input"
    body = [max(x, 0.0) for x in affine(w, "fc1.", market + account if at_input else market)]
    n = sizes.lstm
    gates = [a + b for a, b in zip(
        affine(w, "lstm.", body, "_ih_l0"), affine(w, "lstm.", h, "_hh_l0"), strict=True)]  # fmt: skip
    i, f, g, o = (gates[k * n : (k + 1) * n] for k in range(4))
    c = [sigmoid(f[k]) * c[k] + sigmoid(i[k]) * tanh(g[k]) for k in range(n)]
    h = [sigmoid(o[k]) * tanh(c[k]) for k in range(n)]
    top = h if at_input else h + account
    logits, (value,) = affine(w, "fc_pi.", top), affine(w, "fc_v.", top)
    exps = [exp(x - max(logits)) for x in logits]
    return [x / sum(exps) for x in exps], value, h, c


@pytest.mark.parametrize("account_at", ["input", "heads"])
@pytest.mark.parametrize("scale", [0.05, 0.5, 20.0])
def test_the_network_is_the_textbooks(account_at: str, scale: float) -> None:
    """Weights of 20 saturate every gate: nothing overflows."""
    sizes = NetworkSizes(5, 2, 7, 4, account_at)
    w = weights_of(sizes, 1, scale)
    network = Network.from_weights(sizes, w)
    hidden = network.start()
    h, c = [0.0] * 4, [0.0] * 4
    chance = np.random.default_rng(2)
    for _ in range(50):
        market, account = chance.normal(0, 2, 5), chance.normal(1, 1, 2)
        output = network.step(market, account, hidden)
        p, value, h, c = restated(sizes, w, market.tolist(), account.tolist(), h, c)
        assert output.probabilities.tolist() == pytest.approx(p, rel=1e-9, abs=1e-12)
        assert float(output.value) == pytest.approx(value, rel=1e-9, abs=1e-9)
        assert output.memory.tolist() == pytest.approx([*h, *c], rel=1e-10, abs=1e-12)
        hidden = output.memory
        h, c = hidden.reshape(2, -1).tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from(["input", "heads"]))
def test_many_at_once_are_as_many_single_ones(seed: int, batch: int, account_at: str) -> None:
    sizes = NetworkSizes(5, 1, 8, 6, account_at)
    network = Network.from_weights(sizes, weights_of(sizes, seed))
    chance = np.random.default_rng(seed)
    market, account = chance.normal(0, 1, (batch, 5)), chance.normal(0, 1, (batch, 1))
    hidden = chance.normal(0, 1, (batch, 12))
    together = network.step(market, account, hidden)
    assert network.start().shape == hidden[0].shape
    for n in range(batch):
        alone = network.step(market[n], account[n], hidden[n])
        np.testing.assert_allclose(together.probabilities[n], alone.probabilities, rtol=0, atol=1e-14)
        np.testing.assert_allclose(together.value[n], alone.value, rtol=0, atol=1e-13)
        np.testing.assert_allclose(together.memory[n], alone.memory, rtol=0, atol=1e-13)


@given(st.integers(0, 2**32))
def test_probabilities_are_some_even_where_one_is_certain(seed: int) -> None:
    sizes = NetworkSizes(5, 2, 8, 6)
    network = Network.from_weights(sizes, weights_of(sizes, seed, 300.0))
    output = network.step(np.full(5, 1e6), np.full(2, -1e6), network.start())
    p = output.probabilities
    assert np.isfinite(p).all()
    assert p.min() >= 0
    assert p.sum() == pytest.approx(1.0)


def test_an_account_at_the_heads_leaves_the_hidden_state_to_the_candles() -> None:
    sizes = NetworkSizes(5, 1, 8, 6, "heads")
    network = Network.from_weights(sizes, weights_of(sizes, 3))
    rich, poor = (network.step(np.ones(5), np.array([share]), network.start()) for share in (1.0, -1.0))
    assert (rich.memory == poor.memory).all()
    assert (rich.probabilities != poor.probabilities).any()


# ---- the draw

BARS = range(1_577_836_800, 1_577_836_800 + 20_000 * 3600, 3600)


def test_the_draw_is_what_it_always_was() -> None:
    """Ledgers in use hold these."""
    draws = [draw(0, "main", BARS[0]), draw(0, "main", BARS[1]), draw(7, "other", BARS[0])]
    assert draws == [
        0.3011860254478662,
        0.6211709638102856,
        0.7914130101361964,
    ]


def test_the_draw_is_uniform_and_of_each_bar_alone() -> None:
    draws = np.array([draw(0, "main", bar) for bar in BARS])
    assert ((draws >= 0) & (draws < 1)).all()
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    expected = len(draws) / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.025
    for seed, account in ((1, "main"), (0, "other")):
        others = np.array([draw(seed, account, bar) for bar in BARS[:2000]])
        assert abs(np.corrcoef(draws[:2000], others)[0, 1]) < 0.08
    assert (draws[:100] == [draw(0, "main", bar) for bar in BARS[:100]]).all()


@given(st.integers(0, 2**63 - 1), st.text(min_size=1, max_size=200), st.integers(0, 253_402_300_799))
def test_every_account_has_a_draw_at_every_bar(seed: int, account: str, bar: int) -> None:
    number = draw(seed, account, bar)
    assert 0 <= number < 1
    assert number * 2**53 == int(number * 2**53)
    assert number == draw(seed, account, bar)


@pytest.mark.parametrize(
    ("chance", "action"),
    [(0.0, HOLD), (0.199999, HOLD), (0.2, BUY), (0.499999, BUY), (0.5, SELL), (0.999999, SELL)],
)
def test_the_draw_falls_on_an_action(chance: float, action: int) -> None:
    assert choose(0.2, 0.3, 0.5, chance, "sample") == action


@pytest.mark.parametrize(
    ("p", "action"),
    [((0.2, 0.3, 0.5), SELL), ((0.5, 0.5, 0.0), HOLD), ((0.2, 0.4, 0.4), BUY), ((0.0, 0.0, 1.0), SELL)],
)
def test_argmax_takes_the_likeliest_and_the_first_of_equals(p: Any, action: int) -> None:
    for chance in (0.0, 0.5, 0.99):
        assert choose(*p, chance, "argmax") == action


def test_an_action_of_no_probability_is_not_drawn_by_rounding() -> None:
    """Thirds rounded to six decimals sum to 0.999999: what is left falls to the last action."""
    third = round(1 / 3, DECIMALS)
    assert choose(third, third, third, 0.9999995, "sample") == SELL
    assert choose(0.0, 1.0, 0.0, 0.9999999, "sample") == BUY
    assert choose(1.0, 0.0, 0.0, 0.9999999, "sample") == HOLD
