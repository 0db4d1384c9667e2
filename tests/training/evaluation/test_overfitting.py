"""Corrections for having chosen, on cases with known answers."""

from math import sqrt

import numpy as np
import pytest

from training.evaluation.overfitting import (
    deflated_sharpe,
    deflated_sharpe_of,
    expected_best_sharpe,
    overfitting_probability,
    sharpe_ratios,
    superior_predictive_ability,
)


def noise(bars: int, candidates: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (bars, candidates))


def test_of_candidates_without_skill_the_best_is_overfitted_half_of_the_time() -> None:
    found = [overfitting_probability(noise(480, 20, seed)) for seed in range(30)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_one_true_winner_is_not_overfitted() -> None:
    returns = noise(4800, 20, 1)
    returns[:, 7] += 0.002
    assert overfitting_probability(returns) == 0.0


def test_what_only_works_in_turns_is_overfitted() -> None:
    """Two candidates, each good in its half: who wins the blocks chosen loses the others."""
    returns = np.full((160, 2), 0.001)
    returns[:80, 0], returns[80:, 1] = 0.01, 0.01
    returns += noise(160, 2, 0) * 1e-3
    assert overfitting_probability(returns) > 0.6


def test_every_split_is_counted_by_hand() -> None:
    """Four blocks of two bars, three candidates: six splits, by the definition in plain Python."""
    returns = noise(8, 3, 4)
    blocks = [returns[n : n + 2] for n in range(0, 8, 2)]
    overfitted = 0
    for picked in ([0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]):
        chosen = np.concatenate([blocks[n] for n in picked])
        others = np.concatenate([blocks[n] for n in range(4) if n not in picked])
        best = int(sharpe_ratios(chosen).argmax())
        rank = 1 + int((sharpe_ratios(others) < sharpe_ratios(others)[best]).sum())
        overfitted += rank / 4 <= 0.5
    assert overfitting_probability(returns, blocks=4) == pytest.approx(overfitted / 6)


def test_one_candidate_or_few_bars_have_no_answer() -> None:
    assert overfitting_probability(noise(100, 1, 0)) is None
    assert overfitting_probability(noise(10, 3, 0)) is None


def test_equal_candidates_have_no_answer() -> None:
    assert overfitting_probability(np.repeat(noise(160, 1, 0), 5, axis=1)) is None


def test_the_deflated_sharpe_ratio_of_the_paper() -> None:
    """Bailey and Lopez de Prado (2014), p. 10: 100 trials, annual Sharpe 2.5, five years of days."""
    threshold = expected_best_sharpe(0.5 / 250, 100)
    assert threshold == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(2.5 / sqrt(250), 1250, -3, 10, threshold) == pytest.approx(0.9004, abs=5e-4)
    assert deflated_sharpe(2.5 / sqrt(250), 1250, -3, 10, expected_best_sharpe(0.5 / 250, 46)) == pytest.approx(
        0.9505, abs=5e-4
    )


def test_one_trial_deflates_nothing() -> None:
    assert expected_best_sharpe(1.0, 1) == 0.0
    assert deflated_sharpe(0.0, 100, 0, 3, 0.0) == pytest.approx(0.5)
    returns = noise(1000, 1, 2)[:, 0] + 0.0005
    ratio = returns.mean() / returns.std()
    normal_like = deflated_sharpe(ratio, 1000, 0, 3, 0.0)
    assert deflated_sharpe_of(returns, [ratio]) == pytest.approx(normal_like, abs=0.01)
    assert deflated_sharpe_of(np.zeros(100), [0.0]) is None


def test_more_trials_deflate_more() -> None:
    returns = noise(2000, 60, 3)
    ratios = sharpe_ratios(returns)
    best = int(ratios.argmax())
    told = deflated_sharpe_of(returns[:, best], ratios.tolist())
    assert told < 0.8 < deflated_sharpe_of(returns[:, best], [ratios[best]])


def test_hansens_test_knows_noise_from_a_winner() -> None:
    baseline = noise(1500, 1, 5)[:, 0]
    candidates = baseline[:, None] + noise(1500, 6, 6) * 0.3
    assert superior_predictive_ability(baseline, candidates) > 0.1
    candidates[:, 2] += 0.001
    assert superior_predictive_ability(baseline, candidates) < 0.01
    assert superior_predictive_ability(baseline, baseline[:, None]) is None
    assert superior_predictive_ability(baseline, candidates) == superior_predictive_ability(baseline, candidates)


def test_long_series_are_grouped_and_as_sure() -> None:
    baseline = np.zeros(20_001)
    candidates = noise(20_001, 3, 7)
    assert superior_predictive_ability(baseline, candidates) > 0.05
    candidates[:, 0] += 0.0005
    assert superior_predictive_ability(baseline, candidates) < 0.01
