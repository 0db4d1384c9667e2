"""RolloutBatch: N windows played at once by one network, from random candles and a zero state."""

from typing import NamedTuple

import torch
from torch import Tensor

from training.environment import VectorTradingEnv
from training.learner.lstm import Fused, advance, allocate_rolling
from training.learner.network import Network


class RolloutBatch(NamedTuple):
    """What N windows of T steps saw, did and got; time first, windows last.

    `seen` (T, inputs + 1, N) and `at_heads` (T, inputs at the heads, N) are the network's inputs, `actions`,
    `log_probs`, `rewards` and `ruined` (T, N) what followed, `values` (T + 1, N) what the network expected, its last
    row after the last step. `exposures` (T, N) are what each action found, `moves` (T, N) what an exposure of 1 was
    then paid: their product is the reward of leaving the account alone. `profits` (N,) are the windows' profits at
    their ends, in quote.
    """

    seen: Tensor
    at_heads: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    ruined: Tensor
    exposures: Tensor
    moves: Tensor
    profits: Tensor


def market_seen(env: VectorTradingEnv, network: Network) -> Tensor:
    """The network's inputs (T + 1, inputs + 1, N) with the market filled in, zeros for the account and ones below."""
    steps, windows = env.index.shape
    rows = network.inputs + 1
    seen = torch.zeros(steps, rows, windows, device=env.device)
    seen[:, : env.market.shape[1]] = env.market.T[:, env.index].transpose(0, 1)
    seen[:, -1] = 1
    return seen


@torch.no_grad()
def collect(env: VectorTradingEnv, network: Network, generator: torch.Generator) -> RolloutBatch:
    """Play one window in every account of `env`, from starts and with actions that `generator` draws.

    Rewards and moves are in multiples of the environment's `unit`.
    """
    env.begin(generator)
    draws = torch.rand(env.length, env.accounts, generator=generator).to(env.device)
    fused = Fused(*(weight.detach() for weight in network.fused()))
    steps = allocate_rolling(network.sizes, env.accounts, env.device)
    seen = market_seen(env, network)
    market, held = env.market.shape[1], network.sizes.account
    at_heads = torch.zeros(env.length + 1, network.at_heads, env.accounts, device=env.device)
    answers = torch.empty(env.length + 1, 4, env.accounts, device=env.device)
    actions = torch.empty(env.length, env.accounts, dtype=torch.uint8, device=env.device)
    rewards = torch.empty(env.length, env.accounts, device=env.device)
    ruined = torch.empty(env.length, env.accounts, dtype=torch.bool, device=env.device)
    exposures = torch.empty(env.length, env.accounts, device=env.device)
    moves = (env.moves() / env.unit).float()
    for t in range(env.length + 1):
        step = steps[t % 2]
        account = env.observe_account().T
        if network.at_heads:
            at_heads[t] = step.head_inputs[-held:] = account
        else:
            seen[t, market : market + held] = account
        advance(fused, seen[t], step)
        answers[t] = step.answers
        if t < env.length:
            exposures[t] = env.exposure()
            actions[t] = sample_actions(answers[t, :3], draws[t])
            reward, ruined[t] = env.act(actions[t])
            rewards[t] = reward / env.unit
    log_probs = log_prob(answers[:-1, :3], actions)
    return RolloutBatch(
        seen[:-1],
        at_heads[:-1],
        actions,
        log_probs,
        answers[:, 3].contiguous(),
        rewards,
        ruined,
        exposures,
        moves,
        env.profit,
    )


def sample_actions(logits: Tensor, draws: Tensor) -> Tensor:
    """Actions (N,) that uniform numbers (N,) fall on: below p_hold hold, below p_hold + p_buy buy, else sell."""
    weights = (logits - logits.amax(0)).exp_().cumsum_(0)
    mark = draws * weights[2]
    return (mark >= weights[0]).to(torch.uint8) + (mark >= weights[1])


def log_prob(logits: Tensor, actions: Tensor) -> Tensor:
    """Logarithm of the probabilities (T, N) of `actions` (T, N) under `logits` (T, 3, N)."""
    chosen = logits.gather(1, actions.long()[:, None])[:, 0]
    return chosen - logits.logsumexp(1)
