"""`hourhand-train train`: from candles to a model's folder."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bot import __version__
from bot.clock import bar_seconds
from bot.console import add_json, print_result
from bot.errors import UsageError
from bot.market import Candle, fill_gaps
from bot.model import Model, NetworkSpec, build_model, features, save_model
from training import article, learner
from training.commands.common import utc_date
from training.data import between, numbers, read_file, sha256

if TYPE_CHECKING:
    from training.article import Episode
    from training.learner import Progress, Reached, TrainingSettings

PRESETS: Final = ("default", "article", "bench")
_ARTICLE_WINDOW: Final = 500
_LINE_SECONDS: Final = 10.0
_FEWEST_WINDOWS: Final = 64  # of one process's minibatch: with fewer, calls cost more than what they compute


class Outcome(NamedTuple):
    """What a training gave: a model, environment steps, updates (Adam steps), seconds of training alone, and the mean
    profit in quote of the last 100 windows."""

    model: Model
    steps: int
    updates: int
    seconds: float
    profit: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `train`."""
    parser.description = """\
Train a model on candles. The presets: `default` is the trainer with the settings of config/training.toml, `article`
the article's network and loop to the letter, `bench` the default held to the article's network and features, three
full passes and no early stop, so that its speed can be compared. The metrics of every iteration and the checkpoint are
kept in OUT.training."""
    parser.epilog = "example: hourhand-train train --candles btcusd_1h.csv --out models/new --to 2021-01-01 --seed 1"
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="CSV, csv.gz, Parquet or JSON")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model's folder, a new one")
    parser.add_argument("--preset", choices=PRESETS, default="default")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", type=_count, metavar="N", help="environment steps (bars), rounded up to whole iterations"
    )
    length.add_argument("--episodes", type=_count, metavar="N", help="windows, rounded up to whole iterations")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N")
    parser.add_argument("--from", dest="since", type=utc_date, metavar="DATE", help="first candle (UTC, inclusive)")
    parser.add_argument("--to", dest="until", type=utc_date, metavar="DATE", help="end of the candles (UTC, exclusive)")
    parser.add_argument("--timeframe", default="", help="where the file does not say (1h)")
    parser.add_argument("--threads", type=_count, metavar="N", help="training processes (default: as many as help)")
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu (default) or cuda")
    parser.add_argument("--config", type=Path, metavar="FILE", help="hyper-parameters (config/training.toml)")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in OUT.training")
    parser.add_argument("--tensorboard", action="store_true", help="write OUT.training/tensorboard as well")
    add_json(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2**63 - 1")
    return int(text)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    candles, origin = read_file(parsed_args.candles, parsed_args.timeframe)
    candles = between(candles, parsed_args.since, parsed_args.until)
    if (
        parsed_args.out.exists()
        and not parsed_args.resume
        and (not parsed_args.out.is_dir() or any(parsed_args.out.iterdir()))
    ):
        raise UsageError(f"{parsed_args.out} already exists; choose another folder for the model")
    if parsed_args.preset == "article":
        done = _train_article(parsed_args, candles)
    else:
        done = _train(parsed_args, fill_gaps(candles, bar_seconds(origin.timeframe)), sha256(candles), origin.timeframe)
    save_model(done.model, parsed_args.out)
    result = {
        "steps": done.steps,
        "seconds": done.seconds,
        "steps_per_second": done.steps / max(done.seconds, 1e-9),
        "updates": done.updates,
        "episode_profit_last100": done.profit,
        "model_id": done.model.model_id,
        "out": str(parsed_args.out),
    }
    print_result(result, as_json=parsed_args.json)
    return 0


def _train_article(parsed_args: argparse.Namespace, candles: Sequence[Candle]) -> Outcome:
    if parsed_args.resume:
        raise UsageError("--resume is not for the article's preset, which keeps no checkpoints")
    episodes = parsed_args.episodes or math.ceil(
        (parsed_args.steps or article.EPISODES * _ARTICLE_WINDOW) / _ARTICLE_WINDOW
    )
    with learner.one_thread(), _Screen(episodes * _ARTICLE_WINDOW) as screen:
        began = time.perf_counter()

        def progress(number: int, episode: Episode) -> None:
            stats = {"profit": episode.profit, "buys": episode.buys, "sells": episode.sells}
            screen.show(number * _ARTICLE_WINDOW, time.perf_counter() - began, stats)

        try:
            done = article.train_article(candles, episodes, parsed_args.seed, progress=progress)
        except ValueError as error:
            raise UsageError(f"{parsed_args.candles}: {error}") from error
        model = article.article_model(candles, done, parsed_args.seed)
    return Outcome(model, done.steps, episodes * article.PASSES, done.seconds, done.profit_last100)


def _train(parsed_args: argparse.Namespace, candles: Sequence[Candle], digest: str, timeframe: str) -> Outcome:
    settings = _settings(parsed_args)
    threads = 1 if parsed_args.device.startswith("cuda") else parsed_args.threads or _useful_threads(settings)
    _check(parsed_args, settings, threads, len(candles))
    per_iteration = settings.steps_per_iteration
    recipe = {
        "algorithm": "recurrent PPO",
        "preset": parsed_args.preset,
        "candles_sha256": digest,
        "first_candle": candles[0].bar_time,
        "last_candle": candles[-1].bar_time,
        "timeframe": timeframe,
        "seed": parsed_args.seed,
        "threads": threads,
        "device": parsed_args.device,
        "package_version": __version__,
        "torch_version": version("torch"),
        "settings": msgspec.to_builtins(settings),
    }
    folder = parsed_args.out.with_name(parsed_args.out.name + ".training")
    if not parsed_args.resume and folder.exists():
        raise UsageError(f"{folder} holds an earlier run: continue it with --resume, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    state, start = learner.load_checkpoint(folder, recipe)
    with ExitStack() as stack:
        metrics = stack.enter_context(learner.Metrics(folder, start.iterations))
        screen = stack.enter_context(_Screen(settings.iterations * per_iteration, start.iterations * per_iteration))
        board = stack.enter_context(_tensorboard(folder / "tensorboard", parsed_args.tensorboard))

        def report(reached: Reached, progress: Progress, learning_rate: float) -> None:
            steps = reached.iterations * per_iteration
            metrics.write(reached, steps, learning_rate, progress)
            screen.show(steps, reached.seconds, progress._asdict())
            board(steps, progress)

        weights, reached = learner.learn(
            numbers(candles),
            settings,
            seed=parsed_args.seed,
            threads=threads,
            device=parsed_args.device,
            start=(state, start),
            report=report,
            keep=lambda tensors, reached: learner.save_checkpoint(folder, tensors, recipe, reached),
        )
    net, steps, profit = settings.network, reached.iterations * per_iteration, float(np.mean(reached.profits))
    reached_by = {"steps": steps, "updates": reached.updates, "episode_profit_last100": profit}
    network, seen = NetworkSpec(net.fc1, net.lstm, net.account_at), features.get_features(net.features)
    model = build_model(weights, network, seen, training={**recipe, **reached_by})
    return Outcome(model, steps, reached.updates, reached.seconds, profit)


def _settings(parsed_args: argparse.Namespace) -> TrainingSettings:
    settings = learner.load_training_settings(parsed_args.config, parsed_args.preset)
    steps = (
        parsed_args.steps
        or (parsed_args.episodes and parsed_args.episodes * settings.windows.length)
        or settings.ppo.steps
    )
    return settings.lasting(steps)


def _useful_threads(settings: TrainingSettings) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    windows = settings.windows.count // settings.ppo.minibatches
    fitting = [n for n in range(2, cores + 1) if windows % n == 0 and windows // n >= _FEWEST_WINDOWS]
    return max(fitting, default=1)


def _check(parsed_args: argparse.Namespace, settings: TrainingSettings, threads: int, candles: int) -> None:
    if settings.windows.count % (threads * settings.ppo.minibatches):
        parts = f"--threads {threads} times ppo.minibatches"
        raise UsageError(f"windows.count {settings.windows.count} is not a multiple of {parts}")
    if candles <= settings.windows.length:
        raise UsageError(f"windows of {settings.windows.length} hours need more than {candles} candles")
    import torch  # noqa: PLC0415 - an extra, and slow to load

    try:
        torch.zeros(1, device=parsed_args.device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {parsed_args.device} cannot be used here: {str(error).splitlines()[0]}") from error


@contextmanager
def _tensorboard(folder: Path, wanted: bool) -> Iterator[Callable[[int, Progress], None]]:  # noqa: FBT001 - a switch
    if not wanted:
        yield lambda *_: None
        return
    writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder))  # a slow import that few need

    def write(steps: int, progress: Progress) -> None:
        for name, figure in progress._asdict().items():
            writer.add_scalar(name, figure, steps)

    try:
        yield write
    finally:
        writer.close()


class _Screen:
    """Progress on standard error: a bar where that is a terminal, a line now and then where it is not."""

    def __init__(self, steps: int, done: int = 0) -> None:
        self._console = Console(stderr=True)
        columns = (BarColumn(20), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
        self._bar = Bar(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=steps, completed=done)
        self._steps, self._shown = steps, 0.0

    def show(self, steps: int, seconds: float, stats: dict[str, float]) -> None:
        """Steps and seconds of training so far, and what to tell of the last iteration."""
        now = time.perf_counter()
        pace = steps / seconds
        names = ("profit", "buys", "sells", "entropy", "kl", "explained_variance")
        text = "  ".join(f"{name.replace('_', ' ')} {stats[name]:.3g}" for name in names if name in stats)
        line = f"{steps:,} steps  {pace:,.0f}/s  {text}"
        self._bar.update(self._task, completed=steps, description=line)
        if self._bar.disable and (now - self._shown > _LINE_SECONDS or steps >= self._steps):
            self._shown = now
            sys.stderr.write(f"{line}  {(self._steps - steps) / pace:.0f} s left\n")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
