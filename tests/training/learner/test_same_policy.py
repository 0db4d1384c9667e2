"""What was trained is what runs: torch's probabilities and the daemon's, over every real candle."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load as load_tensors

from bot.market import Candle
from bot.model import (
    Model,
    NetworkPolicy,
    NetworkSpec,
    Observation,
    build_ensemble,
    build_model,
    get_features,
    market_observations,
)
from bot.trading import Rules
from training.data import numbers
from training.learner.network import Network as TrainableNetwork
from training.learner.network import initial, sizes_of


def untrained(features: str, account_at: str, scale: float) -> Model:
    """A model of the usual widths whose policy is far from even."""
    seen = get_features(features)
    sizes = sizes_of(seen, 64, 32, account_at)
    weights = initial(sizes, 7)
    weights["fc_pi.weight"] *= 100 * scale
    return build_model(TrainableNetwork(sizes, weights).arrays(), NetworkSpec(64, 32, account_at), seen)  # type: ignore[arg-type]


def averaged() -> Model:
    """Three networks of the default's widths and features."""
    seen = get_features("slow")
    sizes = sizes_of(seen, 64, 32, "heads")
    members = []
    for seed in range(3):
        weights = initial(sizes, seed)
        weights["fc_pi.weight"] *= 300
        members.append(TrainableNetwork(sizes, weights).arrays())
    return build_ensemble(members, NetworkSpec(64, 32, "heads"), seen)


MAKERS = {
    "the article's": lambda: untrained("article", "input", 1.0),
    "of returns": lambda: untrained("returns", "heads", 3.0),
    "the default": averaged,
}


@pytest.mark.parametrize("which", [*list(MAKERS)[:2], pytest.param("the default", marks=pytest.mark.slow)])
def test_probabilities_differ_by_less_than_a_hundred_thousandth(which: str, real_candles: list[Candle]) -> None:
    model = MAKERS[which]()
    assert isinstance(model.policy, NetworkPolicy)
    features, sizes = model.policy.features, model.policy.networks[0].sizes
    candles = numbers(real_candles)
    market = market_observations(features, candles)
    chance, rules = np.random.default_rng(0), Rules()
    balances, stocks = chance.uniform(0, 20_000, len(candles)), chance.uniform(0, 2, len(candles))
    account = np.stack(features.account(balances, stocks, candles[:, 3], rules), 1)

    memory, lived, before = model.policy.start(), np.empty((len(candles), 3)), None
    for t, candle in enumerate(real_candles):
        output = model.policy.step(Observation(candle, before, balances[t], stocks[t], rules), memory)
        lived[t], memory, before = output.probabilities, output.memory, candle

    ones = np.ones((len(candles), 1))
    body = [market, account, ones] if sizes.account_at == "input" else [market, ones]
    seen = torch.tensor(np.concatenate(body, 1), dtype=torch.float32)[..., None]
    heads = account if sizes.account_at == "heads" else account[:, :0]
    told = []
    for weights in weights_of(model):
        learning = TrainableNetwork(sizes, {name: torch.as_tensor(array) for name, array in weights.items()})
        with torch.no_grad():
            answers = learning(seen, torch.tensor(heads, dtype=torch.float32)[..., None])
        told.append(answers[:, :3, 0].softmax(1).numpy())
    learned = np.mean(told, axis=0)
    assert np.abs(learned - lived).max() < 1e-5
    assert lived.std(0).max() > 0.001


def weights_of(model: Model) -> list[dict[str, np.ndarray]]:
    """The weights of each member."""
    members: dict[str, dict[str, np.ndarray]] = {}
    for name, array in load_tensors(model.weights).items():
        number, _, weight = name.rpartition("/")
        members.setdefault(number, {})[weight] = array.astype(np.float32)
    return list(members.values())
