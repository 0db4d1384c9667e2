"""A training run: several processes, one result."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from training.learner.checkpoint import START, Reached, restore, state_of
from training.learner.ppo import Learner, Progress, Sum, Windows
from training.learner.settings import TrainingSettings
from training.learner.workers import WorkerPool

_KEPT: Final = 100

Report = Callable[[Reached, Progress, float], None]
"""Called after each iteration: how far the run is, how the iteration went, and its learning rate."""


def run_worker(
    rank: int,
    total: Sum,
    windows: Windows,
    settings: TrainingSettings,
    seed: int,
    processes: int,
    iterations: range,
    state: dict[str, Any],
) -> None:
    """What every process but the first does: the same iterations on its own windows."""
    learner = Learner(windows, settings, seed=seed, rank=rank, processes=processes, total=total)
    if state:
        restore(learner, {name: torch.as_tensor(array) for name, array in state.items()})
    total(torch.zeros(1))
    for iteration in iterations:
        learner.iterate(iteration, iterations.stop)


def learn(
    windows: Windows,
    settings: TrainingSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    device: str = "cpu",
    start: tuple[dict[str, Tensor], Reached] = ({}, START),
    report: Report = lambda *_: None,
    keep: Callable[[dict[str, Tensor], Reached], None] = lambda *_: None,
) -> tuple[dict[str, Any], Reached]:
    """Train for `settings.iterations` in all, on from the state and place of `start`: the weights as arrays, and what
    was reached.

    `keep` is given the state after every `run.checkpoint_every` iterations and after the last.
    """
    state, reached = start
    iterations = settings.iterations
    span = range(reached.iterations, iterations)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        workers = stack.enter_context(WorkerPool(threads, run_worker, (windows, settings, seed, threads, span, arrays)))
        learner = Learner(windows, settings, seed=seed, device=device, processes=threads, total=workers.total)
        if state:
            restore(learner, state)
        workers.total(torch.zeros(1))  # the clock starts once all workers are ready
        began = time.perf_counter() - reached.seconds
        for iteration in span:
            progress, profits = learner.iterate(iteration, iterations)
            reached = Reached(
                iteration + 1,
                reached.updates + progress.updates,
                time.perf_counter() - began,
                [*reached.profits, *profits.tolist()][-_KEPT:],
            )
            report(reached, progress, learner.optimizer.param_groups[0]["lr"])
            if reached.iterations % settings.run.checkpoint_every == 0 or reached.iterations == iterations:
                keep(state_of(learner), reached)
        return learner.network.arrays(), reached


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
