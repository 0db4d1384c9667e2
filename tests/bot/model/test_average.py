"""A model of several networks: their probabilities averaged, each with a memory of its own, and the features' too."""

import json
from pathlib import Path

import numpy as np
import pytest

from bot.errors import ModelError
from bot.market import Candle
from bot.model import (
    Features,
    Model,
    NetworkSizes,
    NetworkSpec,
    Observation,
    build_ensemble,
    build_model,
    get_features,
    load_model,
    parse_model,
    save_model,
)
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Rules, Trader

CANDLES = generate_candles(60, seed=2, quiet=0.05)
SPEC = NetworkSpec(8, 6, "heads")


def weights(seed: int, features: Features) -> dict[str, np.ndarray]:
    sizes = NetworkSizes(len(features.market_names), len(features.account_names), 8, 6, "heads")
    chance = np.random.default_rng(seed)
    return {name: chance.normal(0, 0.5, shape) for name, shape in sizes.shapes().items()}


def average(count: int = 3, features: str = "slow") -> Model:
    seen = get_features(features)
    return build_ensemble([weights(seed, seen) for seed in range(count)], SPEC, seen)


def probabilities(model: Model) -> np.ndarray:
    told, memory, before = [], model.policy.start(), None
    for candle in CANDLES:
        output = model.policy.step(Observation(candle, before, 5000.0, 0.5, Rules()), memory)
        memory, before = output.memory, candle
        told.append([*output.probabilities, output.value])
    return np.array(told)


@pytest.mark.parametrize("features", ["returns", "slow"])
def test_it_is_the_mean_of_its_members(features: str) -> None:
    seen = get_features(features)
    each = [probabilities(build_model(weights(seed, seen), SPEC, seen)) for seed in range(3)]
    np.testing.assert_allclose(probabilities(average(3, features)), np.mean(each, axis=0), rtol=1e-12)
    assert np.ptp(each, axis=0).max() > 0.05


def test_many_accounts_are_as_many_single_ones() -> None:
    policy = average().policy
    balances, stocks = np.array([0.0, 5000.0, 10_000.0]), np.array([2.0, 0.5, 0.0])
    memory, before = np.tile(policy.start(), (3, 1)), None
    singles = [policy.start() for _ in range(3)]
    for candle in CANDLES:
        together = policy.step(Observation(candle, before, balances, stocks, Rules()), memory)
        for n in range(3):
            alone = policy.step(Observation(candle, before, balances[n], stocks[n], Rules()), singles[n])
            np.testing.assert_allclose(together.probabilities[n], alone.probabilities, rtol=1e-12)
            np.testing.assert_allclose(together.memory[n], alone.memory, rtol=1e-12, atol=1e-12)
            singles[n] = alone.memory
        memory, before = together.memory, candle


def test_a_folder_holds_all_of_it(tmp_path: Path) -> None:
    model = average()
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(probabilities(model), probabilities(again))
    manifest = json.loads(again.manifest)
    assert (manifest["format"], manifest["members"]) == (2, 3)
    assert len({average(count).model_id for count in (1, 2, 3)}) == 3


@pytest.mark.parametrize(
    ("change", "match"),
    [({"members": 2}, "does not fit"), ({"members": 0}, "members"), ({"format": 1}, "format"), ({"members": 21}, "20")],
)
def test_a_manifest_that_does_not_fit_is_refused(change: dict[str, int], match: str) -> None:
    model = average()
    with pytest.raises(ModelError, match=match):
        parse_model(model.weights, json.dumps(json.loads(model.manifest) | change))


def test_a_trader_carries_what_was_remembered() -> None:
    """Stopped after any bar and begun again from the stored numbers, the next bars are the same bits."""
    trader = Trader(AccountTerms("main", "no:BTC/USD:1h"), average())
    states = [trader.start()]
    steps = []
    for candle in CANDLES:
        steps.append(trader.step(states[-1], candle))
        states.append(steps[-1].state)
    stored = np.frombuffer(states[30].memory.tobytes())
    state = states[30]._replace(memory=stored)
    for step, candle in zip(steps[30:], CANDLES[30:], strict=True):
        again = trader.step(state, candle)
        assert again.decision == step.decision
        assert again.state.memory.tobytes() == step.state.memory.tobytes()
        state = again.state


def test_any_history_is_long_enough() -> None:
    trader = Trader(AccountTerms("main", "no:BTC/USD:1h"), average())
    for bars in (0, 1, 2, 59):
        first: Candle = CANDLES[bars]
        assert np.isfinite(trader.step(trader.warm_up(CANDLES[:bars]), first).decision.p_hold)
