"""The article's update and loop against a restatement in plain numbers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bot.market import Candle
from training.article import LENGTH, PPO, PublishedLoop, play, train_article
from training.article.ppo import GAMMA, LAMBDA, Episode, advantages_of
from training.environment import BitcoinTradingEnv, frame

Walk = Callable[..., list[Candle]]
Weights = dict[str, Tensor]


def unroll(w: Weights, states: Tensor, hidden: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Probabilities (T, 3) and values (T,), gate by gate."""
    h, c = (part.reshape(-1) for part in hidden)
    probabilities, values = [], []
    for state in states:
        body = torch.clamp(w["fc1.weight"] @ state + w["fc1.bias"], min=0)
        gates = w["lstm.weight_ih_l0"] @ body + w["lstm.bias_ih_l0"] + w["lstm.weight_hh_l0"] @ h + w["lstm.bias_hh_l0"]
        i, f, g, o = gates.chunk(4)
        c = 1 / (1 + torch.exp(-f)) * c + 1 / (1 + torch.exp(-i)) * torch.tanh(g)
        h = 1 / (1 + torch.exp(-o)) * torch.tanh(c)
        logits = w["fc_pi.weight"] @ h + w["fc_pi.bias"]
        probabilities.append(torch.exp(logits) / torch.exp(logits).sum())
        values.append((w["fc_v.weight"] @ h + w["fc_v.bias"])[0])
    return torch.stack(probabilities), torch.stack(values)


def restated_update(weights: Weights, data: list[tuple]) -> Weights:
    """Three passes over an episode: losses summed step by step, Adam written out."""
    w = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    first = {name: torch.zeros_like(weight) for name, weight in w.items()}
    second = {name: torch.zeros_like(weight) for name, weight in w.items()}
    like = next(iter(w.values()))
    states, next_states = (like.new_tensor(np.array([step[k] for step in data])) for k in (0, 3))
    hidden = data[0][5]
    for t in (1, 2, 3):
        _, next_values = unroll(w, next_states, hidden)
        probabilities, values = unroll(w, states, hidden)
        targets = [
            step[2] + 0.98 * next_value.item() * (0 if step[6] else 1)
            for step, next_value in zip(data, next_values, strict=True)
        ]
        loss, advantage = torch.zeros_like(values[0]), 0.0
        for n in reversed(range(len(data))):
            advantage = 0.98 * 0.95 * advantage + targets[n] - values[n].item()
            ratio = probabilities[n][data[n][1]] / data[n][4]
            gain, clipped = ratio * advantage, torch.clamp(ratio, 0.9, 1.1) * advantage
            off = torch.abs(values[n] - targets[n])
            loss = loss - torch.minimum(gain, clipped) + torch.where(off < 1, 0.5 * off**2, off - 0.5)
        slopes = torch.autograd.grad(loss / len(data), list(w.values()))
        with torch.no_grad():
            for (name, weight), slope in zip(w.items(), slopes, strict=True):
                first[name] = 0.9 * first[name] + 0.1 * slope
                second[name] = 0.999 * second[name] + 0.001 * slope**2
                step = first[name] / (1 - 0.9**t) / (torch.sqrt(second[name] / (1 - 0.999**t)) + 1e-8)
                weight.sub_(0.0005 * step)
    return {name: weight.detach() for name, weight in w.items()}


def an_episode(model: PPO, steps: int, seed: int, dies: bool) -> list[tuple]:
    """Transitions with all that an episode has, the hidden state of its first step not zero."""
    chance = np.random.default_rng(seed)
    states = chance.normal(0, 1, (steps + 1, 7)).astype(np.float32)
    like = model.fc1.weight
    hidden = tuple(like.new_tensor(chance.normal(0, 0.3, (1, 1, model.lstm.hidden_size))) for _ in range(2))
    return [
        (
            states[n],
            int(chance.integers(3)),
            float(chance.normal(0, 3)),
            states[n + 1],
            float(chance.uniform(0.2, 0.5)),
            hidden if n == 0 else model.start(),
            dies and n == steps - 1,
        )
        for n in range(steps)
    ]


@pytest.mark.parametrize(("steps", "dies"), [(1, True), (25, True), (25, False)])
def test_one_update_is_the_articles(steps: int, dies: bool) -> None:
    """In float64: Adam blows a gradient that is all rounding up to a whole step, and float32 has a few of those."""
    torch.manual_seed(steps)
    model = PPO(7, 3).double()
    data = an_episode(model, steps, 11, dies)
    expected = restated_update(model.state_dict(), data)
    for step in data:
        model.put_data(step)
    model.train_net()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=0)
    assert model.data == []


def test_the_ratio_is_one_in_the_first_pass(walk: Walk) -> None:
    """The probabilities kept while playing are those of the unroll that the update makes."""
    torch.manual_seed(0)
    model = PPO(7, 3)
    env = BitcoinTradingEnv(frame(walk(101)), sample_length=100)
    env.reset(seed=0)
    assert play(model, env).steps == 100
    states = torch.from_numpy(np.array([step.state for step in model.data]))
    chosen = model.pi(states, model.start())[0].squeeze(1)[range(100), [step.action for step in model.data]]
    torch.testing.assert_close(chosen, torch.tensor([step.probability for step in model.data]), atol=1e-6, rtol=0)


def test_an_episode_is_kept_whole(walk: Walk) -> None:
    """Each state follows the one before, rewards in tens sum up to the profit, and only the last step ends it."""
    torch.manual_seed(1)
    model = PPO(7, 3)
    env = BitcoinTradingEnv(frame(walk(80)), sample_length=60)
    episode = play(model, env)
    assert all((one.next_state == two.state).all() for one, two in zip(model.data, model.data[1:], strict=False))
    assert 10 * sum(step.reward for step in model.data) == pytest.approx(episode.profit, abs=1e-6)
    assert [step.done for step in model.data] == [False] * 59 + [True]
    actions = [step.action for step in model.data]
    assert (episode.buys, episode.sells) == (actions.count(1), actions.count(2))
    assert not any(part.any() for part in model.data[0].hidden)
    assert all(part.any() for part in model.data[1].hidden)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40))
def test_advantages_are_the_sum_of_what_follows(deltas: list[float]) -> None:
    naive = [
        sum((GAMMA * LAMBDA) ** k * delta for k, delta in enumerate(deltas[start:])) for start in range(len(deltas))
    ]
    found = advantages_of(torch.tensor(deltas, dtype=torch.float64).unsqueeze(1))
    np.testing.assert_allclose(found.squeeze(1).numpy(), naive, rtol=1e-9, atol=1e-9)


def test_training_is_repeatable_and_leaves_torchs_chance_alone(walk: Walk) -> None:
    candles = walk(520)
    reported: list[tuple[int, Episode]] = []
    before = torch.get_rng_state()
    one = train_article(candles, 2, 3, fc1_size=10, lstm_size=10, progress=lambda *news: reported.append(news))
    other = train_article(candles, 2, 3, fc1_size=10, lstm_size=10)
    another = train_article(candles, 2, 4, fc1_size=10, lstm_size=10)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert not torch.equal(one.weights["fc1.weight"], another.weights["fc1.weight"])
    assert reported == list(enumerate(one.episodes, 1))
    assert one.steps == 1000
    assert one.profit_last100 == pytest.approx(np.mean([episode.profit for episode in one.episodes]))


def test_the_published_loop_plays_by_the_same_rules(walk: Callable[..., list[Candle]]) -> None:
    candles = walk(700, seed=5)
    loop, env = PublishedLoop(candles), BitcoinTradingEnv(frame(candles), sample_length=LENGTH)
    state = loop.reset()
    same, _ = env.reset(options={"start": loop.index})
    np.testing.assert_array_equal(state, same)
    for action in np.random.default_rng(3).integers(0, 3, LENGTH).tolist():
        state, reward, over = loop.step(action)
        same, expected, terminated, truncated, _ = env.step(action)
        np.testing.assert_array_equal(state, same)
        assert (reward, over) == (expected, terminated or truncated)
    assert over
