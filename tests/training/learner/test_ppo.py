"""The pieces of the trainer, one by one, and whole runs of it."""

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bot.errors import HourhandError
from bot.market import Candle
from bot.model import BUY, HOLD, SELL, choose
from bot.model.features import RETURNS
from bot.trading import Rules
from training.data import numbers
from training.environment import BitcoinTradingEnv, VectorTradingEnv, frame
from training.learner import (
    Learner,
    Reached,
    TrainingSettings,
    WorkerPool,
    article_windows,
    collect,
    compute_targets,
    learn,
    losses,
)
from training.learner.checkpoint import START
from training.learner.ppo import Targets, compute_gae, idle_advantages
from training.learner.rollout import RolloutBatch, sample_actions
from training.learner.settings import parse

Walk = Callable[..., list[Candle]]
HOLDING = {"fc_pi.bias": torch.tensor([50.0, 0.0, 0.0])}


def small(account_at: str = "heads", iterations: int = 3, **ppo: object) -> TrainingSettings:
    features = "returns" if account_at == "heads" else "article"
    return parse(
        {
            "network": {"fc1": 8, "lstm": 6, "account_at": account_at, "features": features},
            "windows": {"count": 16, "length": 20},
            "ppo": {"steps": iterations * 16 * 20, "minibatches": 2, "passes": 3, **ppo},
            "run": {"checkpoint_every": 1},
        }
    )


def learner(walk: Walk, account_at: str = "heads", **ppo: object) -> Learner:
    return Learner(partial(article_windows, numbers(walk(300))), small(account_at, **ppo), seed=1)


def played(of: Learner, seed: int = 0) -> RolloutBatch:
    return collect(of.env, of.network, torch.Generator().manual_seed(seed))


def with_weights(of: Learner, weights: dict[str, Tensor]) -> Learner:
    with torch.no_grad():
        for name, weight in weights.items():
            of.network.named_weights()[name].copy_(weight)
    return of


@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_advantages_are_those_of_a_naive_loop(
    steps: int, windows: int, gamma: float, gae_lambda: float, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    rewards = torch.randn(steps, windows, generator=chance, dtype=torch.float64)
    values = torch.randn(steps + 1, windows, generator=chance, dtype=torch.float64)
    ruined = torch.rand(steps, windows, generator=chance) < 0.1
    found = compute_gae(rewards, values, ruined, gamma, gae_lambda)
    for n in range(windows):
        for t in range(steps):
            total, weight = 0.0, 1.0
            for k in range(t, steps):
                after = 0.0 if ruined[k, n] else gamma * float(values[k + 1, n])
                total += weight * (float(rewards[k, n]) + after - float(values[k, n]))
                weight *= gamma * gae_lambda
                if ruined[k, n]:
                    break
            assert float(found[t, n]) == pytest.approx(total, abs=1e-9)


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3), st.floats(0, 1, exclude_max=True))
def test_draws_as_the_daemon_does(logits: list[float], draw: float) -> None:
    weights = np.exp(np.array(logits) - max(logits))
    p = weights / weights.sum()
    if min(abs(draw - p[0]), abs(draw - p[0] - p[1])) > 1e-9:  # the two round differently on the very border
        action = sample_actions(
            torch.tensor(logits, dtype=torch.float64)[:, None], torch.tensor([draw], dtype=torch.float64)
        )
        assert int(action[0]) == choose(float(p[0]), float(p[1]), float(p[2]), draw, "sample")


@pytest.mark.parametrize("account_at", ["input", "heads"])
def test_the_ratio_is_one_in_the_first_pass(walk: Walk, account_at: str) -> None:
    of = learner(walk, account_at)
    experience = played(of)
    targets = compute_targets(experience, of.settings.ppo, of.total)
    for batch, batch_targets in of.minibatches(experience, targets, torch.Generator()):
        answers = of.network(batch.seen, batch.at_heads, of.buffers)
        torch.testing.assert_close(answers[:, 3].detach(), batch.values[:-1], rtol=0, atol=1e-5)
        policy_loss, _, entropy, divergence, clipped = losses(answers, batch, batch_targets, of.settings.ppo).tolist()
        assert policy_loss == pytest.approx(-float(batch_targets.advantages.mean()), abs=1e-5)
        chances = np.exp([2, 0, 0]) / np.exp([2, 0, 0]).sum()  # what a new policy says, whatever it sees
        assert entropy == pytest.approx(-(chances * np.log(chances)).sum(), abs=0.01)
        assert divergence == pytest.approx(0, abs=1e-7)
        assert clipped == 0


@pytest.mark.parametrize("account_at", ["input", "heads"])
def test_windows_are_those_of_the_articles_environment(walk: Walk, account_at: str) -> None:
    of = learner(walk, account_at)
    experience = played(of)
    single = BitcoinTradingEnv(frame(walk(300)), sample_length=20)
    for window in range(of.env.accounts):
        single.reset(options={"start": int(of.env.index[0, window])})
        for t in range(20):
            assert single.stocks - 1 == pytest.approx(float(experience.exposures[t, window]), rel=1e-5)
            _, reward, *_, info = single.step(int(experience.actions[t, window]))
            assert reward / 100 == pytest.approx(float(experience.rewards[t, window]), rel=1e-5)
        assert info["profit"] == float(experience.profits[window])


def test_leaving_the_account_alone_is_neither_good_nor_bad(walk: Walk) -> None:
    """An action is compared with no action: where nothing is done and nothing expected, no step stands out."""
    settings = parse({"network": {"features": "returns"}})

    def windows(settings: TrainingSettings, accounts: int, device: str) -> VectorTradingEnv:
        rules = Rules(initial_balance=100.0, initial_stocks=3.0)
        candles = numbers(walk(600))
        return VectorTradingEnv(
            candles,
            accounts,
            settings.windows.length,
            rules=rules,
            features=RETURNS,
            benchmark="initial",
            device=device,
        )

    of = Learner(windows, settings, seed=0)
    with_weights(of, {**HOLDING, "fc_v.weight": torch.zeros(1, 33), "fc_v.bias": torch.zeros(1)})
    experience = played(of)
    assert (experience.actions == HOLD).all()
    assert experience.rewards.abs().max() > 0.01
    idle = compute_gae(experience.moves, torch.zeros_like(experience.values), experience.ruined, 0.98, 0.95)
    raw = compute_gae(experience.rewards, experience.values, experience.ruined, 0.98, 0.95)
    torch.testing.assert_close(raw, experience.exposures * idle, rtol=1e-4, atol=1e-4)


def test_the_baseline_has_no_gradient_where_every_course_of_actions_is_counted() -> None:
    """On a market of four closes all 27 courses of actions are played, ruin among them. Weighted with their
    probabilities under a policy that looks at the account, the baseline's part of the policy gradient is zero.
    """
    courses = torch.cartesian_prod(*[torch.arange(3)] * 3).T  # (T, N)
    close = np.array([100.0, 90.0, 4.0, 100.0, 100.0])
    candles = np.stack([close, close, close, close, np.ones(5)], 1)
    rules = Rules(initial_balance=100.0, initial_stocks=3.0, trade_fraction=0.9)
    env = VectorTradingEnv(candles, 27, 3, rules=rules)
    env.reset(torch.zeros(27, dtype=torch.long))
    exposures, ruined = torch.empty(3, 27, dtype=torch.float64), torch.empty(3, 27, dtype=torch.bool)
    for t in range(3):
        exposures[t] = env.stocks - rules.initial_stocks
        ruined[t] = env.act(courses[t])[1]
    assert 0 < int(ruined.any(0).sum()) < 27
    slopes = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits = slopes[:, :1, None] + slopes[:, 1:, None] * (exposures / 3)  # (actions, T, N)
    logs = logits.log_softmax(0).gather(0, courses[None])[0]
    chance = logs.detach().sum(0).exp()
    assert float(chance.sum()) == pytest.approx(1)
    moves, values = env.prices.diff(dim=0), torch.zeros(4, 27, dtype=torch.float64)
    empty = torch.empty(0)
    experience = RolloutBatch(empty, empty, courses, logs, values, empty, ruined, exposures, moves, empty)
    baseline = idle_advantages(experience, parse({}).ppo)
    assert float((baseline.abs() * chance).sum()) > 1
    (gradient,) = torch.autograd.grad((chance * (baseline * logs).sum(0)).sum(), slopes)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


def test_each_pass_draws_its_minibatches_anew(walk: Walk) -> None:
    of = learner(walk)
    experience = played(of)
    experience = experience._replace(profits=torch.arange(16.0))  # tell the windows apart
    targets, chance = compute_targets(experience, of.settings.ppo, of.total), torch.Generator().manual_seed(3)
    passes = [[batch.profits for batch, _ in of.minibatches(experience, targets, chance)] for _ in range(2)]
    assert [torch.cat(parts).sort()[0].tolist() for parts in passes] == [list(range(16))] * 2
    assert not torch.equal(passes[0][0].sort()[0], passes[1][0].sort()[0])
    batch, batch_targets = next(of.minibatches(experience, targets, chance))
    window = int(batch.profits[0])
    assert torch.equal(batch.seen[..., 0], experience.seen[..., window])
    assert torch.equal(batch_targets.advantages[:, 0], targets.advantages[:, window])


def test_nothing_is_learned_from_what_follows_ruin(walk: Walk) -> None:
    of = learner(walk)
    experience = played(of)
    ruined = torch.zeros_like(experience.ruined)
    ruined[7, 2] = ruined[9, 2] = True
    targets = compute_targets(experience._replace(ruined=ruined), of.settings.ppo, of.total)
    assert targets.alive[:8].all()
    assert targets.alive[8:, 2].sum() == 0
    assert targets.alive.sum() == targets.alive.numel() - 12
    answers = of.network(experience.seen[..., :8], experience.at_heads[..., :8], of.buffers)
    part = [RolloutBatch(*(x[..., :8] for x in experience)), Targets(*(x[..., :8] for x in targets))]
    spoiled = part[1]._replace(
        advantages=torch.where(part[1].alive > 0, part[1].advantages, 1e6),
        returns=torch.where(part[1].alive > 0, part[1].returns, 1e6),
    )
    assert torch.equal(losses(answers, *part, of.settings.ppo), losses(answers, part[0], spoiled, of.settings.ppo))


def test_advantages_are_normalised_over_the_living_steps(walk: Walk) -> None:
    of = learner(walk)
    targets = compute_targets(played(of), of.settings.ppo, of.total)
    assert float(targets.advantages.mean()) == pytest.approx(0, abs=1e-5)
    assert float(targets.advantages.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_pass_that_went_too_far_is_the_last_one(walk: Walk) -> None:
    bold = learner(walk, learning_rate=0.1, target_kl=1e-5)
    free = learner(walk, learning_rate=0.1, target_kl=0.0)
    assert bold.iterate(0, 3)[0].updates == 2
    assert free.iterate(0, 3)[0].updates == 6


def test_the_learning_rate_falls_along_a_line(walk: Walk) -> None:
    of = learner(walk, learning_rate=0.01)
    rates = []
    for iteration in range(4):
        of.iterate(iteration, 4)
        rates.append(of.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(walk: Walk, threads: int) -> None:
    windows, settings = partial(article_windows, numbers(walk(300))), small(iterations=4)
    kept: list[tuple[dict[str, Tensor], Reached]] = []
    whole, reached = learn(windows, settings, seed=5, threads=threads, keep=lambda *state: kept.append(state))
    assert [state[1].iterations for state in kept] == [1, 2, 3, 4]
    continued, there = learn(windows, settings, seed=5, threads=threads, start=kept[1])
    assert all(np.array_equal(whole[name], continued[name]) for name in whole)
    assert (there.updates, there.profits) == (reached.updates, reached.profits)
    assert reached.iterations == there.iterations == 4
    other, _ = learn(windows, settings, seed=6, threads=threads, start=({}, START))
    assert not all(np.array_equal(whole[name], other[name]) for name in whole)


def _add(rank: int, total: Callable[[Tensor], Tensor], last: int) -> None:
    for number in range(last):
        total(torch.tensor([float(rank), number]))


def test_processes_add_up() -> None:
    with WorkerPool(3, _add, (4,)) as workers:
        sums = [workers.total(torch.tensor([0.0, number])).tolist() for number in range(4)]
    assert sums == [[3.0, 0.0], [3.0, 3.0], [3.0, 6.0], [3.0, 9.0]]


def _die(_rank: int, total: Callable[[Tensor], Tensor]) -> None:
    total(torch.zeros(1))
    os._exit(1)


def test_a_process_that_dies_ends_the_training() -> None:
    with WorkerPool(2, _die, ()) as workers:
        workers.total(torch.zeros(1))
        with pytest.raises(HourhandError, match="--resume"):
            workers.total(torch.zeros(1))


@pytest.mark.parametrize("action", [HOLD, BUY, SELL])
def test_it_learns_the_action_that_pays(walk: Walk, action: int) -> None:
    """With advantages made up for one action, its probability rises at every step."""
    of = learner(walk, target_kl=0.0, learning_rate=0.02, entropy_coefficient=0.0)
    experience = played(of)
    paid = torch.where(experience.actions == action, 1.0, -0.5)
    targets = compute_targets(experience, of.settings.ppo, of.total)._replace(advantages=paid)
    answer = partial(of.network, experience.seen[..., :8], experience.at_heads[..., :8], of.buffers)
    before = answer().detach()[:, :3].softmax(1)[:, action]
    of.update(experience, targets, torch.Generator().manual_seed(0))
    after = answer().detach()[:, :3].softmax(1)[:, action]
    assert (after > before + 0.01).all()
