"""What was trained is what runs: torch's probabilities and the daemon's, over every real candle."""

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load as load_tensors

from bot.market import Candle
from bot.model import (
    SHIPPED_POINTER,
    Model,
    NetworkPolicy,
    NetworkSpec,
    build_model,
    get_features,
    load_model,
    market_observations,
)
from bot.trading import Rules
from training.data import numbers
from training.learner.network import Network as TrainableNetwork
from training.learner.network import initial, sizes_of

MODELS = SHIPPED_POINTER.parent


def untrained(features: str, account_at: str, scale: float) -> Model:
    """A model of the usual widths whose policy is far from even."""
    seen = get_features(features)
    sizes = sizes_of(seen, 64, 32, account_at)
    weights = initial(sizes, 7)
    weights["fc_pi.weight"] *= 100 * scale
    return build_model(TrainableNetwork(sizes, weights).arrays(), NetworkSpec(64, 32, account_at), seen)  # type: ignore[arg-type]


def shipped() -> Model:
    pointer = msgspec.json.decode((MODELS / "current").read_bytes())
    return load_model(MODELS / pointer["model_id"])


MAKERS = {
    "the article's": lambda: untrained("article", "input", 1.0),
    "the default": lambda: untrained("returns", "heads", 3.0),
    "the shipped": shipped,
}


@pytest.mark.parametrize("which", MAKERS)
def test_probabilities_differ_by_less_than_a_hundred_thousandth(which: str, real_candles: list[Candle]) -> None:
    model = MAKERS[which]()
    assert isinstance(model.policy, NetworkPolicy)
    features, network = model.policy.features, model.policy.network
    sizes = network.sizes
    candles = numbers(real_candles)
    market = market_observations(features, candles)
    chance, rules = np.random.default_rng(0), Rules()
    balances, stocks = chance.uniform(0, 20_000, len(candles)), chance.uniform(0, 2, len(candles))
    account = np.stack(features.account(balances, stocks, candles[:, 3], rules), 1)

    hidden, lived = network.start(), np.empty((len(candles), 3))
    for t in range(len(candles)):
        output = network.step(market[t], account[t], hidden)
        lived[t], hidden = output.probabilities, output.memory

    ones = np.ones((len(candles), 1))
    body = [market, account, ones] if sizes.account_at == "input" else [market, ones]
    seen = torch.tensor(np.concatenate(body, 1), dtype=torch.float32)[..., None]
    heads = account if sizes.account_at == "heads" else account[:, :0]
    learning = TrainableNetwork(sizes, {name: torch.as_tensor(array) for name, array in weights_of(model).items()})
    with torch.no_grad():
        answers = learning(seen, torch.tensor(heads, dtype=torch.float32)[..., None])
    learned = answers[:, :3, 0].softmax(1).numpy()
    assert np.abs(learned - lived).max() < 1e-5
    assert lived.std(0).max() > 0.001


def weights_of(model: Model) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float32) for name, array in load_tensors(model.weights).items()}
