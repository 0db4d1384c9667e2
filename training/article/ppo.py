"""The article's network, update and loop, to the letter; improvements live elsewhere.

One thing differs: the change of volume is 0 where the hour before had none (`bot.model.features.changes`). As published
it is infinite there, and training stops at the first such candle.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bot import __version__
from bot.market import Candle
from bot.model import ACTIONS, ARTICLE, BUY, SELL, Model, NetworkSpec, build_model
from training.article.window import EPISODES, LENGTH
from training.data import sha256
from training.environment import BitcoinTradingEnv, frame

LEARNING_RATE: Final = 0.0005
GAMMA: Final = 0.98
LAMBDA: Final = 0.95
CLIP: Final = 0.1
PASSES: Final = 3
REWARD_SCALE: Final = 10

Hidden = tuple[Tensor, Tensor]


class Transition(NamedTuple):
    """One step: state seen, action, reward / 10, next state, probability of the action, the LSTM's state before it,
    and whether the episode ended."""

    state: NDArray[np.float32]
    action: int
    reward: float
    next_state: NDArray[np.float32]
    probability: float
    hidden: Hidden
    done: bool


class PPO(nn.Module):
    """The article's LSTM actor-critic with its own clipped update: policy and value share `fc1` and `lstm`."""

    def __init__(self, state_size: int, action_size: int, fc1_size: int = 64, lstm_size: int = 32) -> None:
        super().__init__()
        self.data: list[Transition] = []
        self.fc1 = nn.Linear(state_size, fc1_size)
        self.lstm = nn.LSTM(fc1_size, lstm_size)
        self.fc_pi = nn.Linear(lstm_size, action_size)
        self.fc_v = nn.Linear(lstm_size, 1)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    def start(self) -> Hidden:
        """The state that every episode starts with: two zeros of (1, 1, lstm_size)."""
        zeros = self.fc1.weight.new_zeros(1, 1, self.lstm.hidden_size)
        return zeros, zeros

    def _unroll(self, states: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        body = torch.relu(self.fc1(states)).view(-1, 1, self.fc1.out_features)
        out: tuple[Tensor, Hidden] = self.lstm(body, hidden)
        return out

    def pi(self, states: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """Probabilities (T, 1, actions) of the actions at states (T, state_size) or one (state_size,), and the LSTM's
        state after them."""
        out, hidden = self._unroll(states, hidden)
        return functional.softmax(self.fc_pi(out), dim=2), hidden

    def v(self, states: Tensor, hidden: Hidden) -> Tensor:
        """Values (T, 1, 1) of states (T, state_size)."""
        out, _ = self._unroll(states, hidden)
        value: Tensor = self.fc_v(out)
        return value

    def put_data(self, transition: Sequence[Any]) -> None:
        """Keep one step of the episode for `train_net`: a Transition, or a tuple of its fields in their order."""
        self.data.append(Transition(*transition))

    def train_net(self) -> None:
        """Update from the episode that was put in, three times over, and forget it.

        Every unroll starts from the state before the episode's first step, that of the next states too, though they
        begin one step later: the article's.
        """
        steps, self.data = self.data, []
        like = self.fc1.weight
        states = torch.as_tensor(np.array([step.state for step in steps])).to(like)
        next_states = torch.as_tensor(np.array([step.next_state for step in steps])).to(like)
        actions = torch.tensor([[int(step.action)] for step in steps], device=like.device)
        rewards = like.new_tensor([[float(step.reward)] for step in steps])
        alive = like.new_tensor([[0.0 if step.done else 1.0] for step in steps])
        old = like.new_tensor([[float(step.probability)] for step in steps])
        hidden = (steps[0].hidden[0].detach(), steps[0].hidden[1].detach())
        for _ in range(PASSES):
            with torch.no_grad():
                targets = rewards + GAMMA * self.v(next_states, hidden).squeeze(1) * alive
            values = self.v(states, hidden).squeeze(1)
            advantages = advantages_of((targets - values).detach())
            chosen = self.pi(states, hidden)[0].squeeze(1).gather(1, actions)
            ratio = torch.exp(torch.log(chosen) - torch.log(old))
            surrogate = torch.min(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
            loss = (-surrogate + functional.smooth_l1_loss(values, targets)).mean()
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            self.optimizer.step()


def advantages_of(deltas: Tensor) -> Tensor:
    """Generalised advantages of one episode, `A[t] = gamma lambda A[t+1] + delta[t]` (Schulman et al. 2016), in the
    shape (T, 1) of the deltas. Not normalised.
    """
    advantage, backwards = 0.0, []
    for delta in reversed(deltas.flatten().tolist()):
        advantage = GAMMA * LAMBDA * advantage + delta
        backwards.append(advantage)
    return deltas.new_tensor(backwards[::-1]).unsqueeze(1)


class Episode(NamedTuple):
    """How an episode went: the profit over holding at its end in quote, and the buys and sells that were wanted."""

    profit: float
    buys: int
    sells: int
    steps: int


class Trained(NamedTuple):
    """What training gave: weights by torch's names, every episode, and the seconds it took."""

    weights: dict[str, Tensor]
    episodes: list[Episode]
    seconds: float

    @property
    def steps(self) -> int:
        """Environment steps taken."""
        return sum(episode.steps for episode in self.episodes)

    @property
    def profit_last100(self) -> float:
        """Mean profit of the last 100 episodes, in quote."""
        return float(np.mean([episode.profit for episode in self.episodes[-100:]]))


def play(model: PPO, env: BitcoinTradingEnv) -> Episode:
    """One episode from `env.reset()` on, its steps put into the model."""
    state, info = env.reset()
    hidden, done, counts = model.start(), False, [0] * len(ACTIONS)
    while not done:
        with torch.no_grad():
            probabilities, next_hidden = model.pi(torch.from_numpy(state), hidden)
        probabilities = probabilities.view(-1)
        action = int(torch.multinomial(probabilities, 1))
        next_state, reward, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        chance = float(probabilities[action])
        model.put_data(Transition(state, action, reward / REWARD_SCALE, next_state, chance, hidden, done))
        state, hidden = next_state, next_hidden
        counts[action] += 1
    return Episode(info["profit"], counts[BUY], counts[SELL], sum(counts))


def train_article(
    candles: Sequence[Candle],
    episodes: int = EPISODES,
    seed: int = 0,
    *,
    fc1_size: int = 64,
    lstm_size: int = 32,
    progress: Callable[[int, Episode], None] | None = None,
) -> Trained:
    """Train the article's network by its loop on random windows of 500 of the candles as they are, holes and all.

    `progress` is called after each episode with its number from 1. The same candles, seed and torch give the same
    weights; torch's own random state is left as it was. Raises ValueError where there are fewer than 501 candles.
    """
    env = BitcoinTradingEnv(frame(candles), sample_length=LENGTH)
    began = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        env.reset(seed=seed)
        model = PPO(len(ARTICLE.market_names + ARTICLE.account_names), len(ACTIONS), fc1_size, lstm_size)
        played: list[Episode] = []
        for number in range(1, episodes + 1):
            played.append(play(model, env))
            model.train_net()
            if progress:
                progress(number, played[-1])
    weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    return Trained(weights, played, time.perf_counter() - began)


def article_model(candles: Sequence[Candle], trained: Trained, seed: int) -> Model:
    """What was trained as a model that the daemon runs, with what is needed to train it again in its manifest."""
    weights = {name: weight.numpy() for name, weight in trained.weights.items()}
    lstm_size, fc1_size = weights["lstm.weight_hh_l0"].shape[1], weights["fc1.weight"].shape[0]
    provenance = {
        "algorithm": "the article's PPO",
        "preset": "article",
        "candles_sha256": sha256(candles),
        "first_candle": candles[0].bar_time,
        "last_candle": candles[-1].bar_time,
        "seed": seed,
        "device": "cpu",
        "package_version": __version__,
        "torch_version": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "episodes": len(trained.episodes),
        "steps": trained.steps,
        "updates": len(trained.episodes) * PASSES,
        "episode_profit_last100": trained.profit_last100,
    }
    return build_model(weights, NetworkSpec(fc1_size, lstm_size), ARTICLE, training=provenance)
