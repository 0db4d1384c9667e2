"""The network as it lives: a few numpy lines in float64, its hidden state, and the draw of an action."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from bot.model.actions import BUY, HOLD, SELL
from bot.model.features import Array

DECIMALS: Final = 6


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


class PolicyOutput(NamedTuple):
    """What the network makes of an observation: `probabilities` (..., 3) of hold, buy, sell, `value` (...) of the
    state, and the next `hidden` state (2, ..., lstm).
    """

    probabilities: Array
    value: Array
    hidden: Array


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
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
    def from_weights(cls, sizes: NetworkSizes, weights: Mapping[str, np.ndarray]) -> "Policy":
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

    def start(self, batch: tuple[int, ...] = ()) -> Array:
        """The hidden state before the first candle: zeros (2, *batch, lstm)."""
        return np.zeros((2, *batch, self.sizes.lstm))

    def step(self, market: Array, account: Array, hidden: Array) -> PolicyOutput:
        """One bar: market (..., market), account (..., account), hidden (2, ..., lstm)."""
        n = self.sizes.lstm
        at_input = self.sizes.account_at == "input"
        seen = np.concatenate([market, account], axis=-1) if at_input else market
        body = np.maximum(seen @ self.fc1 + self.fc1_bias, 0.0)
        gates = np.tanh(body @ self.gates_in + hidden[0] @ self.gates_hidden + self.gates_bias)
        keep_in, forget, new = 0.5 * gates[..., :n] + 0.5, 0.5 * gates[..., n : 2 * n] + 0.5, gates[..., 2 * n : 3 * n]
        cell = forget * hidden[1] + keep_in * new
        out = (0.5 * gates[..., 3 * n :] + 0.5) * np.tanh(cell)
        heads = (out if at_input else np.concatenate([out, account], axis=-1)) @ self.heads + self.heads_bias
        exps = np.exp(heads[..., :3] - heads[..., :3].max(axis=-1, keepdims=True))
        return PolicyOutput(exps / exps.sum(axis=-1, keepdims=True), heads[..., 3], np.stack([out, cell]))


@lru_cache(maxsize=256)
def _key(seed: int, account: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{account}".encode()).digest()[:16], "little")


def draw(seed: int, account: str, bar_time: int) -> float:
    """The uniform number in [0, 1) of a bar: the same in whatever process asks.

    Philox 4x64-10 (Salmon et al. 2011) with the first 16 bytes of SHA-256("seed:account") as its key and the bar's
    time as its counter; the upper 53 bits of the first word.
    """
    return (int(np.random.Philox(counter=bar_time, key=_key(seed, account)).random_raw()) >> 11) * 2.0**-53


def choose(p_hold: float, p_buy: float, p_sell: float, chance: float, mode: str) -> int:
    """The action wanted: in `sample` the one that `chance` falls on, in `argmax` the likeliest, first of equals."""
    if mode == "argmax":
        return (HOLD, BUY, SELL)[max(range(3), key=(p_hold, p_buy, p_sell).__getitem__)]
    if chance < p_hold:
        return HOLD
    return BUY if chance < p_hold + p_buy else SELL
