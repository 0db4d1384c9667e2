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

from bot.policy import Sizes

_HAS_ONEDNN: Final = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call] # torch's
_ONEDNN: Final = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if _HAS_ONEDNN else None


class Fused(NamedTuple):
    """The network's weights, joined and scaled as above.

    `first` (fc1, inputs + 1), `gates` (4 lstm, fc1 + lstm + 1) in torch's order i, f, g, o, and `heads`
    (3 actions + 1 value, lstm + 1 + inputs at the heads).
    """

    first: Tensor
    gates: Tensor
    heads: Tensor


def fuse(weights: Mapping[str, Tensor], sizes: Sizes) -> Fused:
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


class Tape(NamedTuple):
    """What a forward pass leaves for the backward pass, (steps, rows, windows).

    `slabs` (steps + 1, fc1 + lstm + 1 + inputs at the heads, windows): slab t holds what the gates of step t read
    (the first layer's output, the output of step t - 1, ones), and slab t + 1 what the heads of step t read (the
    output of step t, ones, its inputs at the heads). `cells` has one entry more as well: the state before each step.
    """

    slabs: Tensor
    gates: Tensor
    cells: Tensor
    squashed: Tensor
    answers: Tensor


def tape(sizes: Sizes, steps: int, windows: int, device: torch.device | str = "cpu") -> Tape:
    """Room for `steps` steps of `windows` windows from a zero state, to be used again and again."""
    at_heads = sizes.account if sizes.account_at == "heads" else 0

    def room(steps: int, rows: int) -> Tensor:
        return torch.zeros(steps, rows, windows, device=device)

    slabs = room(steps + 1, sizes.fc1 + sizes.lstm + 1 + at_heads)
    slabs[:, sizes.fc1 + sizes.lstm] = 1
    n = sizes.lstm
    return Tape(slabs, room(steps, 4 * n), room(steps + 1, n), room(steps, n), room(steps, 4))


def product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right`. On the CPU by oneDNN, as for a Linear layer that is compiled: the matrix product of torch's CPU
    builds is MKL's, which leaves the wider half of the vector units of some processors unused.
    """
    if _ONEDNN is None or left.device.type != "cpu" or left.dtype != torch.float32:
        return left @ right
    fast: Tensor = _ONEDNN(left, right.T, None, "none", [], "")
    return fast


def advance(fused: Fused, seen: Tensor, tape: Tape, t: int, after: int) -> None:
    """One step: from `seen` (inputs + 1, windows), slab and cell `t` to slab and cell `after` and the answers of `t`.

    The answers (4, windows) are three logits and the value.
    """
    f, n = fused.first.shape[0], fused.gates.shape[0] // 4
    body = tape.slabs[t, :f]
    torch.mm(fused.first, seen, out=body).relu_()
    gates = tape.gates[t]
    torch.sigmoid(product(fused.gates, tape.slabs[t, : f + n + 1]), out=gates)
    keep, forget, new, out = gates.view(4, n, -1)
    cell = torch.mul(forget, tape.cells[t], out=tape.cells[after])
    cell.addcmul_(keep, new, value=4.0).sub_(keep, alpha=2.0)
    squashed = torch.sigmoid(cell, out=tape.squashed[t])
    torch.mul(out, squashed, out=tape.slabs[after, f : f + n]).sub_(out, alpha=0.5)
    torch.mm(fused.heads, tape.slabs[after, f:], out=tape.answers[t])


class Unroll(torch.autograd.Function):
    """Answers (steps, 4, windows) from a zero state, and the gradients of the weights.

    `seen` is (steps, inputs + 1, windows) and ends with a row of ones, `at_heads` (steps, inputs at the heads,
    windows). `room` is overwritten: go backward before the next forward pass on it. The inputs get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, seen: Tensor, at_heads: Tensor, room: Tape, *fused: Tensor) -> Tensor:  # noqa: D102
        ctx.seen, ctx.room = seen, room
        ctx.save_for_backward(*fused)
        weights = Fused(*fused)
        room.slabs[1:, room.slabs.shape[1] - at_heads.shape[1] :] = at_heads
        for t in range(len(seen)):
            advance(weights, seen[t], room, t, t + 1)
        return room.answers.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        fused = Fused(*ctx.saved_tensors)
        slope = upstream[0].contiguous()
        first, gates, heads = (torch.zeros_like(weight) for weight in fused)
        f, n = fused.first.shape[0], fused.gates.shape[0] // 4
        to_below = fused.gates[:, : f + n].T.contiguous()
        to_out = fused.heads[:, :n].T.contiguous()
        slabs, steps = ctx.room.slabs, len(slope)
        below = slope.new_zeros(f + n, slope.shape[2])
        cell, scratch = slope.new_zeros(2, n, slope.shape[2])
        d_gates = slope.new_empty(4 * n, slope.shape[2])
        d_keep, d_forget, d_new, d_out = d_gates.view(4, n, -1)
        for t in reversed(range(steps)):
            keep, forget, new, out = ctx.room.gates[t].view(4, n, -1)
            squashed = ctx.room.squashed[t]
            d_h = below[f:].addmm_(to_out, slope[t])
            heads.addmm_(slope[t], slabs[t + 1, f:].T)
            torch.sub(squashed, 0.5, out=d_out).mul_(d_h)
            torch.mul(d_h, out, out=scratch)
            torch.ops.aten.sigmoid_backward.grad_input(scratch, squashed, grad_input=scratch)
            cell.add_(scratch)
            torch.mul(cell, ctx.room.cells[t], out=d_forget)
            torch.mul(cell, 4.0, out=scratch)
            torch.sub(new, 0.5, out=d_keep).mul_(scratch)
            torch.mul(keep, scratch, out=d_new)
            cell.mul_(forget)
            torch.ops.aten.sigmoid_backward.grad_input(d_gates, ctx.room.gates[t], grad_input=d_gates)
            gates.add_(product(d_gates, slabs[t, : f + n + 1].T))
            below = product(to_below, d_gates)
            body = below[:f]
            torch.ops.aten.threshold_backward.grad_input(body, slabs[t, :f], 0, grad_input=body)
            first.addmm_(body, ctx.seen[t].T)
        return None, None, None, first, gates, heads
