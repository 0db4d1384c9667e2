"""Recurrent PPO over whole windows (Schulman et al. 2017): collect, advantages, update.

All windows of an iteration start together from a zero state and are as long as each other, so the LSTM is unrolled
once per minibatch for policy and value alike, over everything, without masks, padding or stored states.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bot.model import Array, get_features
from bot.trading import rules_of
from training.environment import TimingEnv, TrainingMarket, VectorTradingEnv
from training.learner.lstm import allocate
from training.learner.network import Network, initial, sizes_of
from training.learner.rollout import RolloutBatch, collect
from training.learner.settings import PpoSettings, TrainingSettings

Sum = Callable[[Tensor], Tensor]
"""Adds a tensor up over all the processes that train together; the identity for one that trains alone."""


class Targets(NamedTuple):
    """What an update wants, all (T, N): `advantages` of the actions, normalised; `returns` for the values; `alive`,
    1 where the account had not been ruined before, else 0.
    """

    advantages: Tensor
    returns: Tensor
    alive: Tensor


class Progress(NamedTuple):
    """One iteration in numbers, averages over its windows or minibatches. Profit is in quote currency."""

    profit: float
    hold: float
    buy: float
    sell: float
    policy_loss: float
    value_loss: float
    entropy: float
    kl: float
    clipped: float
    gradient_norm: float
    explained_variance: float
    updates: int


Windows = Callable[[TrainingSettings, int, str], VectorTradingEnv]
"""Makes an environment of the settings, with that many accounts, on that device."""


def article_windows(candles: Array, settings: TrainingSettings, accounts: int, device: str) -> VectorTradingEnv:
    """The article's: windows of one market (n, 5), paid by the change of the profit over holding."""
    return VectorTradingEnv(
        candles,
        accounts,
        settings.windows.length,
        rules=rules_of(settings.account),
        features=get_features(settings.network.features),
        device=device,
    )


def timing_windows(
    markets: Sequence[TrainingMarket], settings: TrainingSettings, accounts: int, device: str
) -> TimingEnv:
    """The default's: windows of any markets, paid for timing, each trade at commission and half of the spread."""
    rules = rules_of(settings.account)
    rules = rules._replace(commission=rules.commission + settings.costs.half_spread)
    features = get_features(settings.network.features)
    return TimingEnv(markets, accounts, settings.windows.length, rules=rules, features=features, device=device)


class Learner:
    """One process's part of a training: its network (the same in all), optimizer and windows."""

    def __init__(
        self,
        windows: Windows,
        settings: TrainingSettings,
        *,
        seed: int,
        device: str = "cpu",
        rank: int = 0,
        processes: int = 1,
        total: Sum = lambda tensor: tensor,
    ) -> None:
        self.settings, self.seed, self.rank, self.processes, self.total = settings, seed, rank, processes, total
        net = settings.network
        features = get_features(net.features)
        self.network = Network(sizes := sizes_of(features, net.fc1, net.lstm, net.account_at), initial(sizes, seed))
        self.network.to(device)
        ppo = settings.ppo
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=ppo.learning_rate, eps=1e-5)
        self.env = windows(settings, settings.windows.count // processes, device)
        self.buffers = allocate(sizes, self.env.length, self.env.accounts // ppo.minibatches, device)

    def iterate(self, iteration: int, iterations: int) -> tuple[Progress, Tensor]:
        """Collect and learn once: how it went, and the profits of this process's windows.

        Randomness depends on seed, process and iteration alone, so a run that was interrupted goes on as if it had not.
        """
        words = np.random.SeedSequence([self.seed, self.rank, iteration]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0]))
        experience = collect(self.env, self.network, generator)
        targets = compute_targets(experience, self.settings.ppo, self.total)
        if self.settings.ppo.anneal:
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.ppo.learning_rate * (1 - iteration / iterations)
        learned, updates = self.update(experience, targets, generator)
        return self._progress(experience, targets, learned, updates), experience.profits

    def update(self, experience: RolloutBatch, targets: Targets, generator: torch.Generator) -> tuple[Tensor, int]:
        """Several passes over the experience, one Adam step per minibatch of windows, which `generator` draws anew for
        each pass: averages of the losses, in the order of `Progress`, and the number of steps. A pass whose mean KL
        divergence passes the target is the last one.
        """
        ppo = self.settings.ppo
        totals, updates = torch.zeros(6), 0
        for _ in range(ppo.passes):
            divergence = 0.0
            for batch, batch_targets in self.minibatches(experience, targets, generator):
                terms = self._learn(batch, batch_targets)
                totals += terms
                divergence += float(terms[3]) / ppo.minibatches
                updates += 1
            if ppo.target_kl and divergence > ppo.target_kl:
                break
        return totals / updates, updates

    def minibatches(
        self, experience: RolloutBatch, targets: Targets, generator: torch.Generator
    ) -> Iterator[tuple[RolloutBatch, Targets]]:
        """The windows in equal parts at random, each window in one of them; all in their order where there is one."""
        size = self.buffers.slabs.shape[2]
        if size == self.env.accounts:
            yield experience, targets
            return
        order = torch.randperm(self.env.accounts, generator=generator).to(self.env.device)
        for part in torch.split(order, size):
            yield (
                RolloutBatch(*(tensor.index_select(-1, part) for tensor in experience)),
                Targets(*(tensor.index_select(-1, part) for tensor in targets)),
            )

    def _learn(self, experience: RolloutBatch, targets: Targets) -> Tensor:
        answers = self.network(experience.seen, experience.at_heads, self.buffers)
        terms = losses(answers, experience, targets, self.settings.ppo)
        self.optimizer.zero_grad()
        objective(terms, self.settings.ppo).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        parameters = list(self.network.parameters())
        flat = torch.cat([terms.detach(), *(_gradient(parameter).flatten() for parameter in parameters)])
        flat = self.total(flat) / self.processes
        terms, *gradients = torch.split(flat, [5, *(parameter.numel() for parameter in parameters)])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.ppo.max_gradient_norm)
        self.optimizer.step()
        return torch.cat([terms, norm[None]]).cpu()

    def _progress(self, experience: RolloutBatch, targets: Targets, learned: Tensor, updates: int) -> Progress:
        count = torch.bincount(experience.actions.flatten().int(), minlength=3) / experience.actions.numel()
        left = (targets.returns - experience.values[:-1]).var() / targets.returns.var().clamp_min(1e-12)
        mine = torch.cat([experience.profits.mean()[None], count, (1 - left)[None]]).double()
        *shares, explained = (self.total(mine) / self.processes).tolist()
        return Progress._make([*shares, *learned.tolist(), explained, updates])


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def compute_gae(rewards: Tensor, values: Tensor, ruined: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """Generalised advantage estimates (T, N) (Schulman et al. 2016) of rewards (T, N) and values (T + 1, N).

    The end of a window is a cut: what would have followed is worth the last value. Ruin is a death: nothing follows.
    """
    lives = (~ruined).to(rewards.dtype)
    surprise = rewards + gamma * values[1:] * lives - values[:-1]
    estimate, following = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        following = surprise[t] + gamma * gae_lambda * lives[t] * following
        estimate[t] = following
    return estimate


def compute_targets(experience: RolloutBatch, ppo: PpoSettings, total: Sum) -> Targets:
    """Advantages, normalised over all the living steps of all processes, and returns."""
    raw = compute_gae(experience.rewards, experience.values, experience.ruined, ppo.gamma, ppo.gae_lambda)
    returns = raw + experience.values[:-1]
    raw = raw - idle_advantages(experience, ppo)
    dead = experience.ruined.cumsum(0) - experience.ruined.long() > 0
    alive = (~dead).to(raw.dtype)
    living = (raw * alive).double()
    count, first, second = total(torch.stack([alive.double().sum(), living.sum(), living.square().sum()])).tolist()
    mean = first / count
    spread = max(second / count - mean**2, 0.0) ** 0.5
    return Targets((raw - mean) / (spread + 1e-8), returns, alive)


def idle_advantages(experience: RolloutBatch, ppo: PpoSettings) -> Tensor:
    """What leaving each account alone would have earned, discounted as the advantages are (T, N): a baseline that sees
    the future of an exogenous input (Mao et al. 2019).

    Ruin is left out of it: whether and when an account is ruined depends on the action, and a baseline must not.
    """
    nothing, never = torch.zeros_like(experience.values), torch.zeros_like(experience.ruined)
    return experience.exposures * compute_gae(experience.moves, nothing, never, ppo.gamma, ppo.gae_lambda)


def losses(answers: Tensor, experience: RolloutBatch, targets: Targets, ppo: PpoSettings) -> Tensor:
    """Averages over the living steps: the clipped policy loss, half the squared error of the values, the entropy,
    the KL divergence from the policy that acted (Schulman's `ratio - 1 - log ratio`), the clipped part of the steps.
    """
    logs = answers[:, :3].log_softmax(1)
    change = logs.gather(1, experience.actions.long()[:, None])[:, 0] - experience.log_probs
    ratio = change.exp()
    gain = torch.min(ratio * targets.advantages, ratio.clamp(1 - ppo.clip, 1 + ppo.clip) * targets.advantages)
    error = 0.5 * (answers[:, 3] - targets.returns).square()
    entropy = -(logs.exp() * logs).sum(1)
    with torch.no_grad():
        divergence = ratio - 1 - change
        clipped = ((ratio - 1).abs() > ppo.clip).to(ratio.dtype)
    weight = targets.alive / targets.alive.sum().clamp_min(1)
    return torch.stack([(figure * weight).sum() for figure in (-gain, error, entropy, divergence, clipped)])


def objective(terms: Tensor, ppo: PpoSettings) -> Tensor:
    """The loss that is minimised, from the terms of `losses`."""
    return terms[0] + ppo.value_coefficient * terms[1] - ppo.entropy_coefficient * terms[2]
