"""`hourhand-train train`: from candles to a model's folder."""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bot import __version__
from bot.clock import timeframe_of
from bot.console import add_json, print_result
from bot.errors import UsageError
from bot.market import fill_gaps
from bot.model import Model, NetworkSpec, build_model, features, save_model
from training.article import ppo as article
from training.commands.common import utc_date
from training.data import Market, load_markets, numbers, sha256, within
from training.learner import (
    Metrics,
    Progress,
    Reached,
    TrainingSettings,
    article_windows,
    learn,
    load_checkpoint,
    load_training_settings,
    one_thread,
    save_checkpoint,
)
from training.selection import member_settings, select

PRESETS: Final = ("default", "article", "bench")
_ARTICLE_WINDOW: Final = 500
_LINE_SECONDS: Final = 10.0
_USUAL_PACE: Final = 80_000  # hours a second that one process gets through
_FEWEST_WINDOWS: Final = 64  # of one process's minibatch: with fewer, calls cost more than what they compute


class Outcome(NamedTuple):
    """What a training gave: a model, environment steps, updates (Adam steps), seconds of training alone, the mean
    profit in quote of the last 100 windows (of each network), and what else there is to tell."""

    model: Model
    steps: int
    updates: int
    seconds: float
    profit: float
    more: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `train`."""
    parser.description = """\
Train a model on candles. The presets: `default` trains several networks by the settings of config/training.toml, each
without one block of time, and judges each on that block; the model is their average where there is evidence of timing,
and a rule that stands at a sober share in coins where there is none. `article` is the article's network and loop to the
letter, `bench` one network held to the article's features and reward, three full passes and no early stop, so that its
speed can be compared. Figures of every iteration and the checkpoints are kept in OUT.training.

Of several files of one coin the first counts whole, of the others only what lies before or after it. No return is
learned from across a hole in the candles."""
    parser.epilog = "example: hourhand-train train --candles btcusd_1h.csv --out models/new --to 2021-01-01 --seed 1"
    parser.add_argument(
        "--candles", type=Path, required=True, nargs="+", metavar="FILE", help="CSV, csv.gz, Parquet or JSON; or a glob"
    )
    parser.add_argument("--same-coin", action="store_true", help="let every file of a coin count whole")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model's folder, a new one")
    parser.add_argument("--preset", choices=PRESETS, default="default")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_count, metavar="N", help="hours to play, rounded up to whole iterations")
    length.add_argument("--episodes", type=_count, metavar="N", help="windows to play, rounded up likewise")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N")
    parser.add_argument("--from", dest="since", type=utc_date, metavar="DATE", help="first candle (UTC, inclusive)")
    parser.add_argument("--to", dest="until", type=utc_date, metavar="DATE", help="end of the candles (UTC, exclusive)")
    parser.add_argument("--timeframe", default="", help="where the file does not tell (1h)")
    parser.add_argument(
        "--threads", type=_count, metavar="N", help="processes that train side by side (as many as are of use)"
    )
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu (default) or cuda")
    parser.add_argument("--config", type=Path, metavar="FILE", help="hyper-parameters (config/training.toml)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT.training")
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


def call(told: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    markets = load_markets(
        told.candles, told.timeframe, same_coin=told.same_coin, warn=lambda line: print(line, file=sys.stderr)
    )
    markets = within(markets, told.since, told.until)
    if told.out.exists() and not told.resume and (not told.out.is_dir() or any(told.out.iterdir())):
        raise UsageError(f"{told.out} is there already; choose another folder for the model")
    if told.preset != "default" and len(markets) > 1:
        raise UsageError(f"the preset {told.preset} trains on one market; give --candles one file")
    train = {"default": _train, "bench": _train_bench, "article": _train_article}[told.preset]
    done = train(told, markets)
    save_model(done.model, told.out)
    figures = {
        "steps": done.steps,
        "seconds": done.seconds,
        "steps_per_second": done.steps / max(done.seconds, 1e-9),
        "updates": done.updates,
        "episode_profit_last100": done.profit,
        "model_id": done.model.model_id,
        "out": str(told.out),
        **done.more,
    }
    print_result(figures, as_json=told.json)
    sys.stderr.write(
        f"Next: hourhand-train evaluate --model {told.out} --candles FILE --from DATE, on hours after these; then "
        f"hourhand models publish {told.out}\n"
    )
    return 0


def _train_article(told: argparse.Namespace, markets: Sequence[Market]) -> Outcome:
    if told.resume:
        raise UsageError("--resume is not for the article's preset, which keeps no checkpoints")
    candles = markets[0].candles
    episodes = told.episodes or math.ceil((told.steps or article.EPISODES * _ARTICLE_WINDOW) / _ARTICLE_WINDOW)
    with one_thread(), _Screen(episodes * _ARTICLE_WINDOW) as screen:
        began = time.perf_counter()

        def progress(number: int, episode: article.Episode) -> None:
            figures = {"profit": episode.profit, "buys": episode.buys, "sells": episode.sells}
            screen.print_result(number * _ARTICLE_WINDOW, time.perf_counter() - began, figures)

        try:
            done = article.train_article(candles, episodes, told.seed, progress=progress)
        except ValueError as error:
            raise UsageError(f"{told.candles[0]}: {error}") from error
        model = article.article_model(candles, done, told.seed)
    return Outcome(model, done.steps, episodes * article.PASSES, done.seconds, done.profit_last100, {})


def _recipe(told: argparse.Namespace, markets: Sequence[Market], settings: TrainingSettings) -> dict[str, Any]:
    """What a training depends on, as a manifest keeps it."""
    digests = {market.name: sha256(market.candles) for market in markets}
    alone = {"candles_sha256": digests[markets[0].name]} if len(markets) == 1 else {"markets": digests}
    return {
        "algorithm": "recurrent PPO",
        "preset": told.preset,
        **alone,
        "first_candle": min(market.candles[0].bar_time for market in markets),
        "last_candle": max(market.candles[-1].bar_time for market in markets),
        "timeframe": timeframe_of(markets[0].bar),
        "seed": told.seed,
        "device": told.device,
        "package_version": __version__,
        "torch_version": str(torch.__version__),
        "settings": msgspec.to_builtins(settings),
    }


def _folder(told: argparse.Namespace) -> Path:
    folder: Path = told.out.with_name(told.out.name + ".training")
    if not told.resume and folder.exists():
        raise UsageError(f"{folder} holds an earlier run: continue it with --resume, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _train(told: argparse.Namespace, markets: Sequence[Market]) -> Outcome:
    settings = _settings(told)
    count = settings.blocks.count
    threads = 1 if told.device.startswith("cuda") else min(told.threads or _cores(), count)
    _check_device(told.device)
    lasting = member_settings(settings)
    hours = lasting.iterations * lasting.steps_per_iteration
    candles = sum(len(market.candles) for market in markets)
    sys.stderr.write(
        f"{len(markets)} market{'s' * (len(markets) > 1)}, {candles:,} candles. {count} networks play "
        f"{hours:,} hours each in windows of {settings.windows.length}, {threads} at a time, each without one of "
        f"{count} blocks of time, and are judged on it: about "
        f"{math.ceil(count * hours / (_USUAL_PACE * threads * 60))} minutes.\n"
    )
    folder = _folder(told)
    done = dict.fromkeys(range(count), 0)
    began = time.perf_counter()
    with _tensorboard(folder / "tensorboard", told.tensorboard) as board, _Screen(count * hours) as screen:

        def report(number: int, reached: Reached, progress: Progress) -> None:
            done[number] = reached.iterations * lasting.steps_per_iteration
            screen.print_result(sum(done.values()), time.perf_counter() - began, progress._asdict())
            board(done[number], progress, f"member-{number + 1}/")

        chosen = select(
            markets,
            settings,
            seed=told.seed,
            threads=threads,
            device=told.device,
            folder=folder,
            recipe=_recipe(told, markets, settings),
            report=report,
        )
    sys.stderr.write(f"{chosen.verdict[0].upper()}{chosen.verdict[1:]}\n")
    return Outcome(
        chosen.model,
        count * hours,
        sum(member.updates for member in chosen.members),
        sum(member.seconds for member in chosen.members) / threads,
        float(np.mean([profit for member in chosen.members for profit in member.profits])),
        {"evidence": chosen.found, "out_of_fold": chosen.figures, "verdict": chosen.verdict},
    )


def _train_bench(told: argparse.Namespace, markets: Sequence[Market]) -> Outcome:
    settings = _settings(told)
    candles = fill_gaps(markets[0].candles, markets[0].bar)
    threads = 1 if told.device.startswith("cuda") else told.threads or _useful_threads(settings)
    _check(settings, threads, len(candles))
    _check_device(told.device)
    per_iteration = settings.steps_per_iteration
    recipe = {**_recipe(told, markets, settings), "threads": threads}
    folder = _folder(told)
    state, start = load_checkpoint(folder, recipe)
    with ExitStack() as stack:
        metrics = stack.enter_context(Metrics(folder, start.iterations))
        screen = stack.enter_context(_Screen(settings.iterations * per_iteration, start.iterations * per_iteration))
        board = stack.enter_context(_tensorboard(folder / "tensorboard", told.tensorboard))

        def report(reached: Reached, progress: Progress, learning_rate: float) -> None:
            steps = reached.iterations * per_iteration
            metrics.write(reached, steps, learning_rate, progress)
            screen.print_result(steps, reached.seconds, progress._asdict())
            board(steps, progress)

        weights, reached = learn(
            partial(article_windows, numbers(candles)),
            settings,
            seed=told.seed,
            threads=threads,
            device=told.device,
            start=(state, start),
            report=report,
            keep=lambda tensors, reached: save_checkpoint(folder, tensors, recipe, reached),
        )
    net, steps, profit = settings.network, reached.iterations * per_iteration, float(np.mean(reached.profits))
    reached_by = {"steps": steps, "updates": reached.updates, "episode_profit_last100": profit}
    network, seen = NetworkSpec(net.fc1, net.lstm, net.account_at), features.get_features(net.features)
    model = build_model(weights, network, seen, training={**recipe, **reached_by})
    return Outcome(model, steps, reached.updates, reached.seconds, profit, {})


def _settings(told: argparse.Namespace) -> TrainingSettings:
    settings = load_training_settings(told.config, told.preset)
    steps = told.steps or (told.episodes and told.episodes * settings.windows.length) or settings.ppo.steps
    return settings.lasting(steps)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _useful_threads(settings: TrainingSettings) -> int:
    windows = settings.windows.count // settings.ppo.minibatches
    fitting = [n for n in range(2, _cores() + 1) if windows % n == 0 and windows // n >= _FEWEST_WINDOWS]
    return max(fitting, default=1)


def _check(settings: TrainingSettings, threads: int, candles: int) -> None:
    if settings.windows.count % (threads * settings.ppo.minibatches):
        parts = f"--threads {threads} times ppo.minibatches"
        raise UsageError(f"windows.count {settings.windows.count} is not a multiple of {parts}")
    if candles <= settings.windows.length:
        raise UsageError(f"windows of {settings.windows.length} hours need more than the {candles} candles there are")


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {device} cannot be used here: {str(error).splitlines()[0]}") from error


@contextmanager
def _tensorboard(folder: Path, wanted: bool) -> Iterator[Callable[..., None]]:  # noqa: FBT001 - a switch
    if not wanted:
        yield lambda *_: None
        return
    writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder))  # a slow import that few need

    def write(steps: int, progress: Progress, prefix: str = "") -> None:
        for name, figure in progress._asdict().items():
            writer.add_scalar(prefix + name, figure, steps)

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

    def print_result(self, steps: int, seconds: float, figures: dict[str, float]) -> None:
        """Steps and seconds of training so far, and what to tell of the last iteration."""
        now = time.perf_counter()
        pace = steps / seconds
        names = ("profit", "buys", "sells", "entropy", "kl", "explained_variance")
        told = "  ".join(f"{name.replace('_', ' ')} {figures[name]:.3g}" for name in names if name in figures)
        line = f"{steps:,} steps  {pace:,.0f}/s  {told}"
        self._bar.update(self._task, completed=steps, description=line)
        if self._bar.disable and (now - self._shown > _LINE_SECONDS or steps >= self._steps):
            self._shown = now
            sys.stderr.write(f"{line}  {(self._steps - steps) / pace:.0f} s left\n")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
