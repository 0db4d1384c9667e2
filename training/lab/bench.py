"""`hourhand-train bench`: the trainer's speed beside the article's loop, RecurrentPPO, and what the products allow.

Every measurement is a process of its own, on the same cores; they take turns, round after round, so that a machine's
other work meets all of them. Figures are medians over the rounds, ratios are taken within a round.

Each is given by the clock, and by the time that the process had a processor, which tells more on a busy machine; of
processes that train together it is the first one's. The article's loop and RecurrentPPO run on one thread, as a second
one slows them down.
"""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, pairwise
from multiprocessing import get_context
from typing import Any, Final

import torch
from torch import Tensor

from bot.errors import UsageError
from bot.market import Candle
from training.article import PASSES, PPO, PublishedLoop, play
from training.data import numbers
from training.environment import BitcoinTradingEnv, frame
from training.learner import (
    Learner,
    Reached,
    Sum,
    TrainingSettings,
    WorkerPool,
    article_windows,
    collect,
    compute_targets,
    learn,
    load_training_settings,
    losses,
    objective,
    one_thread,
)

ENVIRONMENTS: Final = (16, 32, 64)
"""How many RecurrentPPO is tried with at the library's own minibatch."""
_MINIBATCH: Final = 128  # the library's default, in steps
_MANY: Final = 256  # environments; twice as many take more than 1.5 GB
_ARTICLE_EPISODES: Final = 8
_ITERATIONS: Final = 6
_LENGTH: Final = 500


def run_benchmark(candles: Sequence[Candle], threads: int, rounds: int) -> dict[str, Any]:
    """Everything that the command prints: environment steps a second by the clock and by the processors' own time,
    ours as a multiple of the others' by both, and memory in bytes.
    """
    settings = _settings(1)
    tries = [(_apart(_recurrent_ppo, candles, count, _MINIBATCH)["cpu"], count) for count in ENVIRONMENTS]
    environments = max(tries)[1]
    flop = step_flop(settings)
    turns = [
        {
            "published": _apart(_published, candles),
            "article": _apart(_article, candles),
            "recurrent_ppo": _apart(_recurrent_ppo, candles, environments, _MINIBATCH),
            "recurrent_ppo_many": _apart(_recurrent_ppo, candles, _MANY, _MANY * _LENGTH // 4),
            "ours": _apart(_ours, candles, threads),
            "limit": {way: pace / flop for way, pace in _apart(_products, threads).items()},
        }
        for _ in range(rounds)
    ]

    def middle(way: str, name: str, under: str = "") -> float:
        return statistics.median(turn[name][way] / (turn[under][way] if under else 1) for turn in turns)

    others = ("published", "article", "recurrent_ppo", "recurrent_ppo_many", "limit")
    return {
        "threads": threads,
        "rounds": rounds,
        "steps_per_second": {name: round(middle("wall", name)) for name in turns[0]},
        "steps_per_processor_second": {name: round(middle("cpu", name)) for name in turns[0]},
        "ratio": {name: round(middle("wall", "ours", name), 2) for name in others},
        "ratio_by_processor_time": {name: round(middle("cpu", "ours", name), 2) for name in others},
        "recurrent_ppo_environments": {"recurrent_ppo": environments, "recurrent_ppo_many": _MANY},
        "kflop_per_step": round(flop / 1e3, 1),
        "memory": round(middle("memory", "ours")),
        "microseconds_per_step": _apart(_parts, candles),
    }


class _Watch:
    """Time by the clock and time that this process had a processor, since it was made or started again."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def pace(self, count: float) -> dict[str, float]:
        """`count` a second, by both."""
        wall, cpu = self._began
        return {"wall": count / (time.perf_counter() - wall), "cpu": count / (time.process_time() - cpu)}


def _apart(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(work, *arguments).result()


def _article(candles: Sequence[Candle]) -> dict[str, float]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    env = BitcoinTradingEnv(frame(candles))
    env.reset(seed=0)
    model = PPO(7, 3)
    watch, steps = _Watch(), 0
    for episode in range(1 + _ARTICLE_EPISODES):
        if episode == 1:  # the first one warms up
            watch.start()
            steps = 0
        steps += play(model, env).steps
        model.train_net()
    return watch.pace(steps)


def _published(candles: Sequence[Candle]) -> dict[str, float]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loop, model = PublishedLoop(candles), PPO(7, 3)
    watch, steps = _Watch(), 0
    for episode in range(1 + _ARTICLE_EPISODES // 2):
        if episode == 1:
            watch.start()
            steps = 0
        steps += loop.play(model)[0]
        model.train_net()
    return watch.pace(steps)


def _recurrent_ppo(candles: Sequence[Candle], environments: int, minibatch: int) -> dict[str, float]:
    """RecurrentPPO with the article's widths, one LSTM for policy and value, windows of 500 and three passes over
    minibatches of so many steps.
    """
    torch.set_num_threads(1)
    try:
        from sb3_contrib import RecurrentPPO  # noqa: PLC0415 - only here, and only developers have it
        from stable_baselines3.common.torch_layers import BaseFeaturesExtractor  # noqa: PLC0415
        from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("bench compares with sb3-contrib, which is not installed: pip install sb3-contrib") from error

    class First(BaseFeaturesExtractor):
        """The article's first layer."""

        def __init__(self, space: Any) -> None:
            super().__init__(space, 64)
            self.layer = torch.nn.Sequential(torch.nn.Linear(7, 64), torch.nn.ReLU())

        def forward(self, seen: Tensor) -> Tensor:
            out: Tensor = self.layer(seen)
            return out

    table = frame(candles)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        DummyVecEnv([lambda: BitcoinTradingEnv(table) for _ in range(environments)]),
        n_steps=_LENGTH,
        batch_size=minibatch,
        n_epochs=PASSES,
        device="cpu",
        policy_kwargs={
            "features_extractor_class": First,
            "lstm_hidden_size": 32,
            "net_arch": [],
            "shared_lstm": True,
            "enable_critic_lstm": False,
        },
    )
    watch = _Watch()
    model.learn(environments * _LENGTH)
    return watch.pace(environments * _LENGTH)


def _settings(iterations: int) -> TrainingSettings:
    settings = load_training_settings(preset="bench")
    return settings.lasting(iterations * settings.steps_per_iteration)


def _ours(candles: Sequence[Candle], threads: int) -> dict[str, float]:
    settings = _settings(_ITERATIONS)
    watch, paces = _Watch(), []

    def report(reached: Reached, *_: Any) -> None:
        if reached.iterations == 1:  # the first one warms up
            watch.start()
        else:
            paces.append(watch.pace((reached.iterations - 1) * settings.steps_per_iteration))

    learn(partial(article_windows, numbers(candles)), settings, threads=threads, report=report)
    mine, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {**paces[-1], "memory": 1024 * (mine + (threads - 1) * others)}


def step_flop(settings: TrainingSettings) -> float:
    """Floating-point operations of the matrix products behind one environment step: one forward in the rollout,
    `passes` forward and twice as many backward in the update. Two for each multiplication.
    """
    net = settings.network
    forward = 2 * (net.fc1 * 8 + 4 * net.lstm * (net.fc1 + net.lstm + 1) + 4 * (net.lstm + 1))
    return forward * (1 + 3 * settings.ppo.passes)


def _products(threads: int) -> dict[str, float]:
    with one_thread(), WorkerPool(threads, _multiply_along, (threads,)) as workers:
        return dict(zip(("wall", "cpu"), _multiply(workers.total, threads).tolist(), strict=True))


def _multiply_along(_rank: int, total: Sum, threads: int) -> None:
    _multiply(total, threads)


def _multiply(total: Sum, threads: int) -> Tensor:
    """Operations a second of the gates' three products as the trainer meets them, over all processes at once."""
    settings = _settings(1)
    f, n = settings.network.fc1, settings.network.lstm
    windows = settings.windows.count // settings.ppo.minibatches // threads
    gates, seen, slope = torch.rand(4 * n, f + n), torch.rand(f + n, windows), torch.rand(4 * n, windows)
    forward, back, weights = torch.empty(4 * n, windows), torch.empty(f + n, windows), torch.empty(4 * n, f + n)
    total(torch.zeros(1))
    rounds, watch, began = 0, _Watch(), time.perf_counter()
    while time.perf_counter() - began < 1.0:
        for _ in range(100):
            torch.mm(gates, seen, out=forward)
            torch.mm(gates.T, slope, out=back)
            torch.mm(slope, seen.T, out=weights)
        rounds += 100
    flop = 3 * 2 * 4 * n * (f + n) * windows * rounds
    return total(torch.tensor(list(watch.pace(flop).values()), dtype=torch.float64))


def _parts(candles: Sequence[Candle]) -> dict[str, float]:
    """Where one iteration's processor time goes on one thread, in microseconds per environment step."""
    torch.set_num_threads(1)
    settings = _settings(2)
    learner = Learner(partial(article_windows, numbers(candles)), settings, seed=0)
    learner.iterate(0, 2)
    spent = dict.fromkeys(("rollout", "advantages", "forward", "loss", "backward", "adam"), 0.0)

    def clock(names: Sequence[str], times: Sequence[float]) -> None:
        for name, (before, after) in zip(names, pairwise(times), strict=True):
            spent[name] += after - before

    now = time.process_time
    times = [now()]
    experience = collect(learner.env, learner.network, torch.Generator().manual_seed(0))
    times.append(now())
    targets = compute_targets(experience, settings.ppo, learner.total)
    clock(("rollout", "advantages"), [*times, now()])
    generator = torch.Generator().manual_seed(0)
    passes = (learner.minibatches(experience, targets, generator) for _ in range(settings.ppo.passes))
    for batch, batch_targets in chain.from_iterable(passes):
        times = [now()]
        answers = learner.network(batch.seen, batch.at_heads, learner.buffers)
        times.append(now())
        terms = losses(answers, batch, batch_targets, settings.ppo)
        (slope,) = torch.autograd.grad(objective(terms, settings.ppo), answers, retain_graph=True)
        times.append(now())
        answers.backward(slope)
        times.append(now())
        learner.optimizer.step()
        learner.optimizer.zero_grad()
        clock(("forward", "loss", "backward", "adam"), [*times, now()])
    return {name: round(1e6 * seconds / settings.steps_per_iteration, 3) for name, seconds in spent.items()}
