"""`hourhand-train train`: from candles to a model's folder."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from bot import __version__
from bot.clock import timeframe_of
from bot.console import add_json, print_result
from bot.errors import UsageError
from bot.market import fill_gaps
from bot.model import Model, NetworkSpec, build_model, features, save_model
from training import article, learner, selection
from training.commands.common import add_candles, add_hyperparameters, add_span, read_markets, whole_number
from training.commands.screen import Screen
from training.data import Market, numbers, sha256, within

if TYPE_CHECKING:
    from training.article import Episode
    from training.learner import Progress, Reached, TrainingSettings

PRESETS: Final = ("default", "article", "bench")
_ARTICLE_WINDOW: Final = 500
_USUAL_PACE: Final = 30_000  # hours a second that one process gets through
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
Train a model on candles. The preset `default` trains several networks with the settings of config/training.toml, each
without one block of time, and judges each on that block. If there is evidence of timing, the model is their average; if
there is none, it is a rule that keeps a conservative share in coins. The preset `article` is the article's network and
loop to the letter. The preset `bench` trains one network with the article's features and reward, three full passes and
no early stop, to compare speeds. Metrics of every iteration and the checkpoints are in OUT.training.

Of several files of one coin, the first counts in full, each other one only with what lies before or after it. No return
across a gap in the candles is learned from."""
    parser.epilog = "example: hourhand-train train --candles btcusd_1h.csv --out models/new --to 2021-01-01 --seed 1"
    add_candles(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the model")
    parser.add_argument("--preset", choices=PRESETS, default="default", help="see above (default)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", type=whole_number(1), metavar="N", help="environment steps (bars), rounded up to whole iterations"
    )
    length.add_argument("--episodes", type=whole_number(1), metavar="N", help="windows, rounded up to whole iterations")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed of the training (0)")
    add_span(parser)
    parser.add_argument("--timeframe", default="", help="if the file does not say (1h)")
    parser.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="concurrent training processes (as many as are useful)"
    )
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu (default) or cuda")
    add_hyperparameters(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in OUT.training")
    parser.add_argument("--tensorboard", action="store_true", help="also write OUT.training/tensorboard")
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    markets = within(read_markets(parsed_args), parsed_args.since, parsed_args.until)
    if (
        parsed_args.out.exists()
        and not parsed_args.resume
        and (not parsed_args.out.is_dir() or any(parsed_args.out.iterdir()))
    ):
        raise UsageError(f"{parsed_args.out} already exists; choose another folder for the model")
    if parsed_args.preset != "default" and len(markets) > 1:
        raise UsageError(f"the preset {parsed_args.preset} trains on one market; give --candles one file")
    train = {"default": _train, "bench": _train_bench, "article": _train_article}[parsed_args.preset]
    done = train(parsed_args, markets)
    save_model(done.model, parsed_args.out)
    figures = {
        "steps": done.steps,
        "seconds": done.seconds,
        "steps_per_second": done.steps / max(done.seconds, 1e-9),
        "updates": done.updates,
        "episode_profit_last100": done.profit,
        "model_id": done.model.model_id,
        "out": str(parsed_args.out),
        **done.more,
    }
    print_result(figures, as_json=parsed_args.json)
    sys.stderr.write(
        f"Next: hourhand-train evaluate --model {parsed_args.out} --candles FILE --from DATE, on hours after these; "
        f"then hourhand models publish {parsed_args.out}\n"
    )
    return 0


def _train_article(parsed_args: argparse.Namespace, markets: Sequence[Market]) -> Outcome:
    if parsed_args.resume:
        raise UsageError("--resume is not for the article's preset, which keeps no checkpoints")
    candles = markets[0].candles
    episodes = parsed_args.episodes or math.ceil(
        (parsed_args.steps or article.EPISODES * _ARTICLE_WINDOW) / _ARTICLE_WINDOW
    )
    with learner.one_thread(), Screen(episodes * _ARTICLE_WINDOW) as screen:
        began = time.perf_counter()

        def progress(number: int, episode: Episode) -> None:
            stats = {"profit": episode.profit, "buys": episode.buys, "sells": episode.sells}
            screen.show(number * _ARTICLE_WINDOW, time.perf_counter() - began, stats)

        try:
            done = article.train_article(candles, episodes, parsed_args.seed, progress=progress)
        except ValueError as error:
            raise UsageError(f"{parsed_args.candles[0]}: {error}") from error
        model = article.article_model(candles, done, parsed_args.seed)
    return Outcome(model, done.steps, episodes * article.PASSES, done.seconds, done.profit_last100, {})


def _recipe(parsed_args: argparse.Namespace, markets: Sequence[Market], settings: TrainingSettings) -> dict[str, Any]:
    """What a training depends on, as a manifest keeps it."""
    digests = {market.name: sha256(market.candles) for market in markets}
    alone = {"candles_sha256": digests[markets[0].name]} if len(markets) == 1 else {"markets": digests}
    return {
        "algorithm": "recurrent PPO",
        "preset": parsed_args.preset,
        **alone,
        "first_candle": min(market.candles[0].bar_time for market in markets),
        "last_candle": max(market.candles[-1].bar_time for market in markets),
        "timeframe": timeframe_of(markets[0].bar),
        "seed": parsed_args.seed,
        "device": parsed_args.device,
        "package_version": __version__,
        "torch_version": version("torch"),
        "settings": msgspec.to_builtins(settings),
    }


def _folder(parsed_args: argparse.Namespace) -> Path:
    folder: Path = parsed_args.out.with_name(parsed_args.out.name + ".training")
    if not parsed_args.resume and folder.exists():
        raise UsageError(f"{folder} holds an earlier run: continue it with --resume, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _train(parsed_args: argparse.Namespace, markets: Sequence[Market]) -> Outcome:
    settings = _settings(parsed_args)
    count = settings.blocks.count
    threads = 1 if parsed_args.device.startswith("cuda") else min(parsed_args.threads or _cores(), count)
    _check_device(parsed_args.device)
    selection.check_candles(markets, settings)
    lasting = selection.member_settings(settings)
    hours = lasting.iterations * lasting.steps_per_iteration
    candles = sum(len(market.candles) for market in markets)
    minutes = math.ceil(count * hours / (_USUAL_PACE * threads * 60))
    sys.stderr.write(
        f"{len(markets)} market{'s' * (len(markets) > 1)}, {candles:,} candles. {count} networks play "
        f"{hours:,} hours each in windows of {settings.windows.length}, {threads} at a time, each without one of "
        f"{count} blocks of time, and are judged on it: about {minutes} minute{'s' * (minutes > 1)}.\n"
    )
    folder = _folder(parsed_args)
    done = dict.fromkeys(range(count), 0)
    began = time.perf_counter()
    with _tensorboard(folder / "tensorboard", parsed_args.tensorboard) as board, Screen(count * hours) as screen:

        def report(number: int, reached: Reached, progress: Progress) -> None:
            done[number] = reached.iterations * lasting.steps_per_iteration
            screen.show(sum(done.values()), time.perf_counter() - began, progress._asdict())
            board(done[number], progress, f"member-{number + 1}/")

        chosen = selection.select(
            markets,
            settings,
            seed=parsed_args.seed,
            threads=threads,
            device=parsed_args.device,
            folder=folder,
            recipe=_recipe(parsed_args, markets, settings),
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


def _train_bench(parsed_args: argparse.Namespace, markets: Sequence[Market]) -> Outcome:
    settings = _settings(parsed_args)
    candles = fill_gaps(markets[0].candles, markets[0].bar)
    threads = 1 if parsed_args.device.startswith("cuda") else parsed_args.threads or _useful_threads(settings)
    _check(settings, threads, len(candles))
    _check_device(parsed_args.device)
    per_iteration = settings.steps_per_iteration
    recipe = {**_recipe(parsed_args, markets, settings), "threads": threads}
    folder = _folder(parsed_args)
    state, start = learner.load_checkpoint(folder, recipe)
    with ExitStack() as stack:
        metrics = stack.enter_context(learner.Metrics(folder, start.iterations))
        screen = stack.enter_context(Screen(settings.iterations * per_iteration, start.iterations * per_iteration))
        board = stack.enter_context(_tensorboard(folder / "tensorboard", parsed_args.tensorboard))

        def report(reached: Reached, progress: Progress, learning_rate: float) -> None:
            steps = reached.iterations * per_iteration
            metrics.write(reached, steps, learning_rate, progress)
            screen.show(steps, reached.seconds, progress._asdict())
            board(steps, progress)

        weights, reached = learner.learn(
            partial(learner.article_windows, numbers(candles)),
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
    return Outcome(model, steps, reached.updates, reached.seconds, profit, {})


def _settings(parsed_args: argparse.Namespace) -> TrainingSettings:
    settings = learner.load_training_settings(parsed_args.config, parsed_args.preset)
    steps = (
        parsed_args.steps
        or (parsed_args.episodes and parsed_args.episodes * settings.windows.length)
        or settings.ppo.steps
    )
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
    import torch  # noqa: PLC0415 - an extra, and slow to load

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
