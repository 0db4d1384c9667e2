"""The network as it lives: a few numpy lines in float64, and the policy that it makes with its features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bot.model.features import Array, Features
from bot.model.policy import USUAL_WARMUP, Observation, PolicyOutput


class NetworkSizes(NamedTuple):
    """What fixes the shape of every weight.

    `account_at` says where the account enters: `input`, beside the market into the first layer (the article's), or
    `heads`, beside the LSTM's output into the two heads, so that the hidden state depends on candles alone.
    """

    market: int
    account: int
    fc1: int
    lstm: int
    account_at: str = "input"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight, as torch's Linear and LSTM name and lay them out."""
        body = self.market + (self.account if self.account_at == "input" else 0)
        head = self.lstm + (self.account if self.account_at == "heads" else 0)
        return {
            "fc1.weight": (self.fc1, body),
            "fc1.bias": (self.fc1,),
            "lstm.weight_ih_l0": (4 * self.lstm, self.fc1),
            "lstm.weight_hh_l0": (4 * self.lstm, self.lstm),
            "lstm.bias_ih_l0": (4 * self.lstm,),
            "lstm.bias_hh_l0": (4 * self.lstm,),
            "fc_pi.weight": (3, head),
            "fc_pi.bias": (3,),
            "fc_v.weight": (1, head),
            "fc_v.bias": (1,),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The LSTM actor-critic with its weights in float64, laid out for products from the right.

    The gates' rows are halved where they pass a sigmoid, as `sigmoid(x) = (1 + tanh(x / 2)) / 2` then needs one tanh
    for all four and never overflows.
    """

    sizes: NetworkSizes
    fc1: Array
    fc1_bias: Array
    gates_in: Array
    gates_hidden: Array
    gates_bias: Array
    heads: Array
    heads_bias: Array

    @classmethod
    def from_weights(cls, sizes: NetworkSizes, weights: Mapping[str, np.ndarray]) -> "Network":
        """From weights with the names and shapes of `sizes.shapes()`, float32 or float64."""
        w = {name: np.asarray(weights[name], dtype=np.float64) for name in sizes.shapes()}
        n = sizes.lstm
        scale = np.concatenate([np.full(2 * n, 0.5), np.ones(n), np.full(n, 0.5)])  # torch's order: i, f, g, o
        return cls(
            sizes,
            np.ascontiguousarray(w["fc1.weight"].T),
            w["fc1.bias"],
            np.ascontiguousarray((w["lstm.weight_ih_l0"] * scale[:, None]).T),
            np.ascontiguousarray((w["lstm.weight_hh_l0"] * scale[:, None]).T),
            (w["lstm.bias_ih_l0"] + w["lstm.bias_hh_l0"]) * scale,
            np.ascontiguousarray(np.concatenate([w["fc_pi.weight"], w["fc_v.weight"]]).T),
            np.concatenate([w["fc_pi.bias"], w["fc_v.bias"]]),
        )

    def start(self) -> Array:
        """The hidden state before the first candle: zeros (2 * lstm,)."""
        return np.zeros(2 * self.sizes.lstm)

    def step(self, market: Array, account: Array, hidden: Array) -> PolicyOutput:
        """One bar: market (..., market), account (..., account), hidden (..., 2 * lstm): the LSTM's output and its
        cell, one after the other.
        """
        n = self.sizes.lstm
        at_input = self.sizes.account_at == "input"
        seen = np.concatenate([market, account], axis=-1) if at_input else market
        body = np.maximum(seen @ self.fc1 + self.fc1_bias, 0.0)
        gates = np.tanh(body @ self.gates_in + hidden[..., :n] @ self.gates_hidden + self.gates_bias)
        keep_in, forget, new = 0.5 * gates[..., :n] + 0.5, 0.5 * gates[..., n : 2 * n] + 0.5, gates[..., 2 * n : 3 * n]
        cell = forget * hidden[..., n:] + keep_in * new
        out = (0.5 * gates[..., 3 * n :] + 0.5) * np.tanh(cell)
        heads = (out if at_input else np.concatenate([out, account], axis=-1)) @ self.heads + self.heads_bias
        exps = np.exp(heads[..., :3] - heads[..., :3].max(axis=-1, keepdims=True))
        return PolicyOutput(
            exps / exps.sum(axis=-1, keepdims=True), heads[..., 3], np.concatenate([out, cell], axis=-1)
        )


@dataclass(frozen=True, slots=True, eq=False)
class NetworkPolicy:
    """Networks of the same sizes and the features that they see. Their probabilities and values are averaged.

    What it remembers is their hidden states, one after the other, and then what the features remember.
    """

    features: Features
    networks: tuple[Network, ...]

    @property
    def warmup_bars(self) -> int:
        """What the features want, and no less than an LSTM needs."""
        return max(USUAL_WARMUP, self.features.memory.warmup_bars if self.features.memory else 0)

    def start(self) -> Array:
        """As `Policy.start`."""
        slow = np.zeros(self.features.memory.size if self.features.memory else 0)
        return np.concatenate([*(network.start() for network in self.networks), slow])

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        """As `Policy.step`."""
        candle, before, balance, stocks, rules = observation
        bar = np.array(candle[1:6])
        last = bar if before is None else np.array(before[1:6])
        account = np.array(self.features.account(balance, stocks, candle.close, rules)).T
        market = self.features.market(last, bar)
        if account.ndim > 1:
            market = np.broadcast_to(market, (*account.shape[:-1], market.size))
        width = 2 * self.networks[0].sizes.lstm
        slow = memory[..., width * len(self.networks) :]
        if self.features.memory:
            slow = self.features.memory.move(slow, last, bar)
            market = np.concatenate([market, self.features.memory.look(slow, bar)], axis=-1)
        outputs = [
            network.step(market, account, memory[..., width * n : width * (n + 1)])
            for n, network in enumerate(self.networks)
        ]
        return PolicyOutput(
            _mean([output.probabilities for output in outputs]),
            _mean([output.value for output in outputs]),
            np.concatenate([*(output.memory for output in outputs), slow], axis=-1),
        )


def _mean(arrays: Sequence[Array]) -> Array:
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total / len(arrays)
