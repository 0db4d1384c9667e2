"""The network unrolled over many windows at once: a hand-written forward and backward pass, laid out for the CPU.

Everything is time first, windows last: (time, rows, windows). So a gate is a contiguous block, the four gates are one
matrix product, and one step's numbers stay in the cache while they are used. Three substitutions make a step cheap:

- `tanh(x) = 2 sigmoid(2x) - 1`, so that one sigmoid serves all four gates (it costs a tenth of a tanh here);
- the cell is kept doubled and its output halved, which moves the factors 2 of that formula into the weights;
- every bias is a column of its weights, and meets a row of ones.

The gradients are those of truncated backpropagation through time over whole windows: nothing is truncated.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bot.model import NetworkSizes

_HAS_ONEDNN: Final = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call] # torch's
_ONEDNN: Final = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if _HAS_ONEDNN else None

_sigmoid_backward: Final = torch.ops.aten.sigmoid_backward.grad_input
_threshold_backward: Final = torch.ops.aten.threshold_backward.grad_input


class Fused(NamedTuple):
    """The network's weights, joined and scaled as above.

    `first` (fc1, inputs + 1), `gates` (4 lstm, fc1 + lstm + 1) in torch's order i, f, g, o, and `heads`
    (3 actions + 1 value, lstm + 1 + inputs at the heads).
    """

    first: Tensor
    gates: Tensor
    heads: Tensor


def fuse(weights: Mapping[str, Tensor], sizes: NetworkSizes) -> Fused:
    """Join weights named as in `sizes.shapes()`; gradients flow back through it."""
    n = sizes.lstm
    first = torch.cat([weights["fc1.weight"], weights["fc1.bias"][:, None]], 1)
    bias = weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]
    gates = torch.cat([weights["lstm.weight_ih_l0"], 2 * weights["lstm.weight_hh_l0"], bias[:, None]], 1)
    doubled = torch.ones_like(bias)
    doubled[2 * n : 3 * n] = 2
    heads = torch.cat([weights["fc_pi.weight"], weights["fc_v.weight"]])
    heads_bias = torch.cat([weights["fc_pi.bias"], weights["fc_v.bias"]])
    heads = torch.cat([2 * heads[:, :n], heads_bias[:, None], heads[:, n:]], 1)
    return Fused(first, gates * doubled[:, None], heads)


class Step(NamedTuple):
    """What one step reads and writes, each (rows, windows): views of `Buffers`, made once, as making one takes longer
    than what a narrow step computes with it.

    `gate_inputs` is what the gates read (the first layer's output, which is its part `body`, the output of the step
    before, ones) and `head_inputs` what the heads read (the output of this step, which is its part `output`, ones,
    their inputs). `gates` are the four gates `keep`, `forget`, `new` and `out`, `cell` is the cell before the step and
    `after` that after it.
    """

    gate_inputs: Tensor
    body: Tensor
    gates: Tensor
    keep: Tensor
    forget: Tensor
    new: Tensor
    out: Tensor
    cell: Tensor
    after: Tensor
    squashed: Tensor
    output: Tensor
    head_inputs: Tensor
    answers: Tensor


class Buffers(NamedTuple):
    """What a forward pass leaves for the backward pass.

    Slab t of `slabs` (states, fc1 + lstm + 1 + inputs at the heads, windows) holds what step t reads, and beside it
    what the heads of the step before read, as both read that step's output. `answers` is (steps, 4, windows).
    """

    slabs: Tensor
    answers: Tensor
    steps: list[Step]


def allocate(
    sizes: NetworkSizes,
    steps: int,
    windows: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Buffers:
    """Buffers for `steps` steps of `windows` windows from a zero state, to be used again and again."""
    return _allocate(sizes, steps, steps + 1, windows, device, dtype)


def allocate_rolling(sizes: NetworkSizes, windows: int, device: torch.device | str = "cpu") -> list[Step]:
    """Two steps, each of which leads to the other: enough for any number, from a zero state, once."""
    return _allocate(sizes, 2, 2, windows, device, torch.float32).steps


def _allocate(
    sizes: NetworkSizes, steps: int, states: int, windows: int, device: torch.device | str, dtype: torch.dtype
) -> Buffers:
    f, n = sizes.fc1, sizes.lstm
    at_heads = sizes.account if sizes.account_at == "heads" else 0

    def zeros(length: int, rows: int) -> Tensor:
        return torch.zeros(length, rows, windows, device=device, dtype=dtype)

    slabs, cells = zeros(states, f + n + 1 + at_heads), zeros(states, n)
    slabs[:, f + n] = 1
    gates, squashed, answers = zeros(steps, 4 * n), zeros(steps, n), zeros(steps, 4)
    views = []
    for t in range(steps):
        here, then = slabs[t], slabs[(t + 1) % states]
        keep, forget, new, out = gates[t].view(4, n, windows)
        views.append(
            Step(
                gate_inputs=here[: f + n + 1],
                body=here[:f],
                gates=gates[t],
                keep=keep,
                forget=forget,
                new=new,
                out=out,
                cell=cells[t],
                after=cells[(t + 1) % states],
                squashed=squashed[t],
                output=then[f : f + n],
                head_inputs=then[f:],
                answers=answers[t],
            )
        )
    return Buffers(slabs, answers, views)


def product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right`. On the CPU by oneDNN, as for a Linear layer that is compiled: the matrix product of torch's CPU
    builds is MKL's, which leaves the wider half of the vector units of some processors unused.
    """
    if _ONEDNN is None or left.device.type != "cpu" or left.dtype != torch.float32:
        return left @ right
    fast: Tensor = _ONEDNN(left, right.T, None, "none", [], "")
    return fast


def advance(fused: Fused, seen: Tensor, step: Step) -> None:
    """One step, from `seen` (inputs + 1, windows) and the state before to the state after and the answers.

    The answers (4, windows) are three logits and the value.
    """
    torch.mm(fused.first, seen, out=step.body).relu_()
    torch.sigmoid(product(fused.gates, step.gate_inputs), out=step.gates)
    cell = torch.mul(step.forget, step.cell, out=step.after)
    cell.addcmul_(step.keep, step.new, value=4.0).sub_(step.keep, alpha=2.0)
    squashed = torch.sigmoid(cell, out=step.squashed)
    torch.mul(step.out, squashed, out=step.output).sub_(step.out, alpha=0.5)
    torch.mm(fused.heads, step.head_inputs, out=step.answers)


class Unroll(torch.autograd.Function):
    """Answers (steps, 4, windows) from a zero state, and the gradients of the weights.

    `seen` is (steps, inputs + 1, windows) and ends with a row of ones, `at_heads` (steps, inputs at the heads,
    windows). `buffers` is overwritten: go backward before the next forward pass on it. The inputs get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, seen: Tensor, at_heads: Tensor, buffers: Buffers, *fused: Tensor) -> Tensor:  # noqa: D102
        ctx.seen, ctx.buffers = seen, buffers
        ctx.save_for_backward(*fused)
        weights = Fused(*fused)
        buffers.slabs[1:, buffers.slabs.shape[1] - at_heads.shape[1] :] = at_heads
        for now, step in zip(seen.unbind(), buffers.steps, strict=True):
            advance(weights, now, step)
        return buffers.answers.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        fused = Fused(*ctx.saved_tensors)
        slopes = upstream[0].contiguous()
        first, gates, heads = (torch.zeros_like(weight) for weight in fused)
        f, n = fused.first.shape[0], fused.gates.shape[0] // 4
        to_below = fused.gates[:, : f + n].T.contiguous()
        to_output = fused.heads[:, :n].T.contiguous()
        below = slopes.new_zeros(f + n, slopes.shape[2])
        cell, scratch = slopes.new_zeros(2, n, slopes.shape[2])
        d_gates = slopes.new_empty(4 * n, slopes.shape[2])
        d_keep, d_forget, d_new, d_out = d_gates.view(4, n, -1)
        for seen, slope, step in zip(
            reversed(ctx.seen.unbind()), reversed(slopes.unbind()), reversed(ctx.buffers.steps), strict=True
        ):
            d_output = below[f:].addmm_(to_output, slope)
            heads.addmm_(slope, step.head_inputs.T)
            torch.sub(step.squashed, 0.5, out=d_out).mul_(d_output)
            torch.mul(d_output, step.out, out=scratch)
            _sigmoid_backward(scratch, step.squashed, grad_input=scratch)
            cell.add_(scratch)
            torch.mul(cell, step.cell, out=d_forget)
            torch.mul(cell, 4.0, out=scratch)
            torch.sub(step.new, 0.5, out=d_keep).mul_(scratch)
            torch.mul(step.keep, scratch, out=d_new)
            cell.mul_(step.forget)
            _sigmoid_backward(d_gates, step.gates, grad_input=d_gates)
            gates.add_(product(d_gates, step.gate_inputs.T))
            below = product(to_below, d_gates)
            body = below[:f]
            _threshold_backward(body, step.body, 0, grad_input=body)
            first.addmm_(body, seen.T)
        return None, None, None, first, gates, heads
