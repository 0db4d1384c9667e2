"""The judgement of timing: one sentence, right as often as it promises."""

import numpy as np
import pytest

from training.evaluation import Checks, timing_evidence


def returns(hours: int, markets: int = 1, draws: int = 1, drift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Hourly timing returns with a deviation of 0.2 % in each market, half of it shared."""
    chance = np.random.default_rng(seed)
    shared = chance.normal(0, 0.001, (hours, 1, 1))
    return drift + shared + chance.normal(0, 0.0017, (hours, markets, draws))


def test_a_plain_signal_is_found_and_said() -> None:
    told = timing_evidence(returns(8760, 4, 3, drift=0.0001), n_trials=20)
    assert told.found
    assert told.p_value < 1e-6
    assert told.ci[0] < told.timing < told.ci[1]
    assert told.timing == pytest.approx(0.876, abs=0.3)
    assert told.sentence.startswith("timing found: +0.")
    assert "a year over the constant mix (95 % interval +0." in told.sentence
    assert told.sentence.endswith("in the best of 20 trials")


@pytest.mark.slow
def test_noise_is_no_evidence_as_often_as_promised() -> None:
    found = sum(timing_evidence(returns(400, seed=seed)).found for seed in range(120))
    assert found <= 9  # 2.5 % of 120 is 3


def test_more_trials_need_more_evidence() -> None:
    mild = returns(8760, drift=0.00006, seed=3)
    one, many = timing_evidence(mild, 1), timing_evidence(mild, 500)
    assert (one.found, many.found) == (True, False)
    assert many.p_value == pytest.approx(1 - (1 - one.p_value) ** 500)
    assert many.sentence.startswith("no evidence of timing: +0.")
    assert one.ci == many.ci


def test_a_loss_is_called_one() -> None:
    told = timing_evidence(returns(8760, drift=-0.0001))
    assert not told.found
    assert told.sentence.startswith("no evidence of timing: it loses, -0.")


def test_what_speaks_against_it_is_heard_and_said() -> None:
    good = returns(8760, drift=0.0001)
    assert timing_evidence(good, 5, Checks(pbo=0.1, deflated_sharpe=0.99, spa_p_value=0.01)).found
    for checks, words in (
        (Checks(pbo=0.6), "PBO 0.60"),
        (Checks(deflated_sharpe=0.5), "deflated Sharpe ratio is 0.50"),
        (Checks(spa_p_value=0.3), "Hansen's SPA gives chance 0.30"),
    ):
        told = timing_evidence(good, 5, checks)
        assert not told.found
        assert told.sentence.startswith("no evidence of timing")
        assert words in told.sentence


def test_nothing_to_judge_by_is_no_evidence() -> None:
    still = timing_evidence(np.zeros((500, 2, 1)))
    assert (still.found, still.p_value, still.timing) == (False, 1.0, 0.0)
    few = timing_evidence(np.full((20, 1, 1), 0.01))
    assert not few.found
    assert "20 bars are too few" in few.sentence


def test_markets_may_miss_hours() -> None:
    whole = returns(3000, 3, 2, drift=0.0002)
    holed = whole.copy()
    holed[:1000, 1] = np.nan
    told = timing_evidence(holed)
    assert told.found
    assert np.isfinite([told.timing, *told.ci, told.p_value]).all()
