"""The hand-written unroll against torch's own layers and autograd."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bot.model import NetworkSizes
from bot.model.network import Network as LivingNetwork
from training.learner.lstm import Unroll, advance, allocate, allocate_rolling, fuse
from training.learner.network import Network, initial

SIZES = [NetworkSizes(5, 2, 12, 7, "input"), NetworkSizes(5, 1, 12, 7, "heads")]
STEPS, WINDOWS = 9, 6


def made(sizes: NetworkSizes, seed: int = 0) -> Network:
    chance = torch.Generator().manual_seed(seed)
    return Network(sizes, {name: 0.5 * torch.randn(shape, generator=chance) for name, shape in sizes.shapes().items()})


def inputs(sizes: NetworkSizes, seed: int = 1, windows: int = WINDOWS) -> tuple[Tensor, Tensor]:
    """What a network sees, and what its heads see."""
    chance = torch.Generator().manual_seed(seed)
    at_heads = sizes.account if sizes.account_at == "heads" else 0
    seen = torch.randn(STEPS, sizes.market + sizes.account - at_heads + 1, windows, generator=chance)
    seen[:, -1] = 1
    return seen, torch.randn(STEPS, at_heads, windows, generator=chance)


def plain(sizes: NetworkSizes, weights: dict[str, Tensor], seen: Tensor, at_heads: Tensor) -> Tensor:
    """The same network of torch's layers, (steps, 4, windows)."""
    lstm = torch.nn.LSTM(sizes.fc1, sizes.lstm)
    body = torch.relu(seen[:, :-1].transpose(1, 2) @ weights["fc1.weight"].T + weights["fc1.bias"])
    own = {name.removeprefix("lstm."): weight for name, weight in weights.items() if name.startswith("lstm.")}
    out, _ = torch.func.functional_call(lstm, own, (body,))
    out = torch.cat([out, at_heads.transpose(1, 2)], 2)
    heads = [out @ weights[f"{name}.weight"].T + weights[f"{name}.bias"] for name in ("fc_pi", "fc_v")]
    return torch.cat(heads, 2).transpose(1, 2)


@pytest.mark.parametrize("sizes", SIZES)
def test_answers_and_gradients_are_those_of_torch(sizes: NetworkSizes) -> None:
    network, (seen, at_heads) = made(sizes), inputs(sizes)
    slope = torch.randn(STEPS, 4, WINDOWS, generator=torch.Generator().manual_seed(2))
    answers = network(seen, at_heads)
    answers.backward(slope)
    mine = {name: weight.grad for name, weight in network.named_weights().items()}
    network.zero_grad()
    expected = plain(sizes, network.named_weights(), seen, at_heads)
    expected.backward(slope)
    torch.testing.assert_close(answers, expected, rtol=1e-5, atol=1e-5)
    for name, weight in network.named_weights().items():
        torch.testing.assert_close(mine[name], weight.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_are_exact_in_double_precision() -> None:
    sizes = SIZES[0]
    network, (seen, at_heads) = made(sizes).double(), inputs(sizes)
    buffers = allocate(sizes, STEPS, WINDOWS, dtype=torch.float64)
    fused = tuple(weight.detach().requires_grad_() for weight in network.fused())
    assert torch.autograd.gradcheck(lambda *w: Unroll.apply(seen.double(), at_heads.double(), buffers, *w), fused)


def test_a_second_derivative_is_an_error_and_not_a_wrong_number() -> None:
    sizes = SIZES[0]
    network, (seen, at_heads) = made(sizes), inputs(sizes)
    fused = tuple(weight.detach().requires_grad_() for weight in network.fused())
    answers = Unroll.apply(seen, at_heads, allocate(sizes, STEPS, WINDOWS), *fused)
    (first,) = torch.autograd.grad(answers.square().sum(), fused[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("sizes", SIZES)
def test_one_step_after_the_other_is_the_sequence(sizes: NetworkSizes) -> None:
    network, (seen, at_heads) = made(sizes), inputs(sizes)
    fused = fuse({name: weight.detach() for name, weight in network.named_weights().items()}, sizes)
    steps = allocate_rolling(sizes, WINDOWS)
    single = []
    for t in range(STEPS):
        steps[t % 2].head_inputs[sizes.lstm + 1 :] = at_heads[t]
        advance(fused, seen[t], steps[t % 2])
        single.append(steps[t % 2].answers.clone())
    torch.testing.assert_close(torch.stack(single), network(seen, at_heads).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sizes", SIZES)
def test_many_windows_at_once_are_each_on_its_own(sizes: NetworkSizes) -> None:
    network, (seen, at_heads) = made(sizes), inputs(sizes)
    together = network(seen, at_heads).detach()
    for window in range(WINDOWS):
        part = slice(window, window + 1)
        alone = network(seen[..., part], at_heads[..., part]).detach()
        torch.testing.assert_close(alone, together[..., part], rtol=0, atol=1e-6)


def test_a_tape_that_was_used_before_changes_nothing() -> None:
    sizes = SIZES[1]
    network, buffers = made(sizes), allocate(sizes, STEPS, WINDOWS)
    first = network(*inputs(sizes), buffers).detach().clone()
    network(*inputs(sizes, seed=9), buffers)
    assert torch.equal(network(*inputs(sizes), buffers).detach(), first)


@pytest.mark.parametrize("sizes", SIZES)
def test_starts_by_holding_and_the_same_for_the_same_seed(sizes: NetworkSizes) -> None:
    weights = initial(sizes, 3)
    again, other = initial(sizes, 3), initial(sizes, 4)
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == sizes.shapes()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert not torch.equal(weights["fc1.weight"], other["fc1.weight"])
    first = weights["fc1.weight"]
    torch.testing.assert_close(first.T @ first, 2 * torch.eye(first.shape[1]), rtol=0, atol=1e-5)
    living = LivingNetwork.from_weights(sizes, Network(sizes, weights).arrays())
    chances = living.step(np.ones(sizes.market), np.ones(sizes.account), living.start()).probabilities
    np.testing.assert_allclose(chances, np.exp([2, 0, 0]) / np.exp([2, 0, 0]).sum(), atol=0.02)
    keeps, forgets = weights["lstm.bias_ih_l0"][: 2 * sizes.lstm].view(2, -1)
    assert torch.equal(keeps, -forgets)
    hours = 1 + forgets.exp()  # until a cell has forgotten all but 1/e of what it held
    assert (hours >= 2).all()
    assert (hours <= 100).all()
