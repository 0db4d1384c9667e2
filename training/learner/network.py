"""The network as it learns: torch parameters with the names and shapes that the daemon's form reads."""

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from bot.model import HOLD, Features, NetworkSizes
from training.learner.lstm import Buffers, Fused, Unroll, allocate, fuse

_HOLD_BIAS: Final = 2.0
_LONGEST_MEMORY: Final = 100.0


def sizes_of(features: Features, fc1: int, lstm: int, account_at: str) -> NetworkSizes:
    """The sizes of a network that sees `features`."""
    return NetworkSizes(len(features.market_names), len(features.account_names), fc1, lstm, account_at)


def initial(sizes: NetworkSizes, seed: int) -> dict[str, Tensor]:
    """Weights before any training, the same for the same seed.

    As CleanRL does it for a recurrent PPO: orthogonal weights, with gain sqrt(2) before a ReLU, 1 into and inside of
    the LSTM, 0.01 for the policy and 1 for the value. Biases are 0 but for two. A new policy holds at four hours in
    five whatever it sees, so that it need not learn first that trading costs. The LSTM's cells forget within 2 to 100
    hours (Tallec and Ollivier 2018, "Can recurrent neural networks warp time?"); with biases of 0 it would be two, and
    nearly no gradient would come back from a day ago.
    """
    generator = torch.Generator().manual_seed(seed)
    gains = {"fc1.weight": 2**0.5, "fc_pi.weight": 0.01}
    weights = {name: torch.zeros(shape) for name, shape in sizes.shapes().items()}
    for name, weight in weights.items():
        if weight.dim() > 1:
            nn.init.orthogonal_(weight, gains.get(name, 1.0), generator=generator)
    kept = torch.log(1 + torch.rand(sizes.lstm, generator=generator) * (_LONGEST_MEMORY - 2))
    weights["lstm.bias_ih_l0"][: 2 * sizes.lstm] = torch.cat([-kept, kept])
    weights["fc_pi.bias"][HOLD] = _HOLD_BIAS
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
