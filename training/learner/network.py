"""The network as it learns: torch parameters with the names and shapes that the daemon's form reads."""

import numpy as np
import torch
from torch import Tensor, nn

from bot.model import Features, NetworkSizes
from training.learner.lstm import Buffers, Fused, Unroll, allocate, fuse


def sizes_of(features: Features, fc1: int, lstm: int, account_at: str) -> NetworkSizes:
    """The sizes of a network that sees `features`."""
    return NetworkSizes(len(features.market_names), len(features.account_names), fc1, lstm, account_at)


def initial(sizes: NetworkSizes, seed: int) -> dict[str, Tensor]:
    """Weights before any training, the same for the same seed.

    As CleanRL does it for a recurrent PPO: orthogonal weights and zero biases, with gain sqrt(2) before a ReLU, 1
    into and inside of the LSTM, 0.01 for the policy (all actions equally likely at first) and 1 for the value.
    """
    generator = torch.Generator().manual_seed(seed)
    gains = {"fc1.weight": 2**0.5, "fc_pi.weight": 0.01}
    weights = {name: torch.zeros(shape) for name, shape in sizes.shapes().items()}
    for name, weight in weights.items():
        if weight.dim() > 1:
            nn.init.orthogonal_(weight, gains.get(name, 1.0), generator=generator)
    return weights


class Network(nn.Module):
    """The LSTM actor-critic as parameters; what it computes is in `training.learner.lstm`."""

    def __init__(self, sizes: NetworkSizes, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.sizes = sizes
        self.at_heads = sizes.account if sizes.account_at == "heads" else 0
        self.inputs = sizes.market + sizes.account - self.at_heads
        self.weights = nn.ParameterDict({_key(name): nn.Parameter(weights[name].clone()) for name in sizes.shapes()})

    def named_weights(self) -> dict[str, Tensor]:
        """The parameters by the names of `sizes.shapes()`."""
        return {name: self.weights[_key(name)] for name in self.sizes.shapes()}

    def fused(self) -> Fused:
        """The weights as `training.learner.lstm` wants them; gradients flow back through it."""
        return fuse(self.named_weights(), self.sizes)

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies of the weights as a model keeps them."""
        return {name: weight.detach().cpu().numpy().copy() for name, weight in self.named_weights().items()}

    def forward(self, seen: Tensor, at_heads: Tensor, buffers: Buffers | None = None) -> Tensor:
        """Answers (steps, 4, windows), three logits and the value, from a zero state.

        `seen` is (steps, inputs + 1, windows), its last row ones, `at_heads` (steps, inputs at the heads, windows).
        """
        buffers = buffers or allocate(self.sizes, seen.shape[0], seen.shape[2], seen.device, seen.dtype)
        answers: Tensor = Unroll.apply(seen, at_heads, buffers, *self.fused())  # type: ignore[no-untyped-call] # torch's
        return answers


def _key(name: str) -> str:
    return name.replace(".", "-")
