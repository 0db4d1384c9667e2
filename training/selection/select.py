"""A member for each block of time, judged on the block that was kept from it; then the model that follows from that."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from bot.model import Model, NetworkSpec, build_ensemble, build_model, get_features, rule_model
from bot.report import bars_a_year
from training.data import Market, numbers, stretches
from training.learner import (
    Metrics,
    Progress,
    Reached,
    TrainingSettings,
    learn,
    load_checkpoint,
    save_checkpoint,
    timing_windows,
)
from training.selection.blocks import Block, blocks_of, training_markets
from training.selection.out_of_fold import OutOfFold, evidence, out_of_fold, summary
from training.selection.processes import Tell, side_by_side

_LARGEST_SEED: Final = 2**63
_LONGEST_EMBARGO: Final = 20
_LEAST_SHARE: Final = 0.05
_BAND: Final = 0.08  # at which the rule gave its mix away 0.02 a year on shuffled hours, 0.004 of it in commission

Report = Callable[[int, Reached, Progress], None]
"""Told after each iteration of a member its number, how far it is and how the iteration went."""


class Member(NamedTuple):
    """A trained member, and how it does where it did not learn."""

    weights: dict[str, np.ndarray]
    reached: Reached
    judged: list[OutOfFold]


class Selection(NamedTuple):
    """What a training gave: the model, what its members reached, whether there is evidence of timing, and the sentence
    that says so.
    """

    model: Model
    members: list[Reached]
    found: bool
    verdict: str
    figures: dict[str, Any]


def member_settings(settings: TrainingSettings) -> TrainingSettings:
    """The settings of one member: all of them together play `ppo.steps` hours."""
    return settings.lasting(-(-settings.ppo.steps // settings.blocks.count))


def check_candles(markets: Sequence[Market], settings: TrainingSettings) -> list[Block]:
    """The blocks. Raises UsageError where there are too few candles to learn from outside of each."""
    blocks = blocks_of(markets, settings.blocks.count)
    for block in blocks:
        training_markets(markets, settings.windows.length, block, _embargo(markets, settings))
    return blocks


def select(
    markets: Sequence[Market],
    settings: TrainingSettings,
    *,
    seed: int = 0,
    threads: int = 1,
    device: str = "cpu",
    folder: Path | None = None,
    recipe: Mapping[str, Any] | None = None,
    report: Report = lambda *_: None,
) -> Selection:
    """Train a member for each block on all other blocks, judge each on its own, and choose.

    Where their gains out of fold are more than chance explains, the model is all members, their probabilities averaged.
    Where they are not, it is the rule that stands at the share in coins whose volatility was `risk.volatility`. The
    result is the same for any number of `threads`: so many members are trained side by side, each on one.

    With `folder`, every member keeps its figures and its checkpoint there, and goes on from it; `recipe` is what must
    not have changed in between. Raises UsageError where there are too few candles, or a checkpoint is of another
    recipe.
    """
    blocks = check_candles(markets, settings)
    lasting = member_settings(settings)
    jobs = [
        (markets, lasting, block, (seed * len(blocks) + number) % _LARGEST_SEED, device, _sub(folder, number), recipe)
        for number, block in enumerate(blocks)
    ]
    members = side_by_side(_member, jobs, min(threads, len(jobs)), lambda number, told: report(number, *told))
    return _chosen(markets, settings, members, recipe or {})


def _sub(folder: Path | None, number: int) -> Path | None:
    return folder / f"member-{number + 1}" if folder else None


def _embargo(markets: Sequence[Market], settings: TrainingSettings) -> int:
    """In seconds; at most a twentieth of the span, so that a short one is not embargoed as a whole."""
    first = min(market.candles[0].bar_time for market in markets)
    last = max(market.candles[-1].bar_time for market in markets)
    bar = markets[0].bar
    return min(settings.blocks.embargo, (last - first) // bar // _LONGEST_EMBARGO) * bar


def _member(
    tell: Tell,
    markets: Sequence[Market],
    settings: TrainingSettings,
    block: Block,
    seed: int,
    device: str,
    folder: Path | None,
    recipe: Mapping[str, Any] | None,
) -> Member:
    learned_from = training_markets(markets, settings.windows.length, block, _embargo(markets, settings))
    run = partial(learn, partial(timing_windows, learned_from), settings, seed=seed, device=device)
    if folder is None:
        weights, reached = run(report=lambda reached, progress, _: tell((reached, progress)))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        known = {**(recipe or {}), "block": block._asdict(), "member_seed": seed}
        start = load_checkpoint(folder, known)
        with Metrics(folder, start[1].iterations) as metrics:

            def report(reached: Reached, progress: Progress, learning_rate: float) -> None:
                metrics.write(reached, reached.iterations * settings.steps_per_iteration, learning_rate, progress)
                tell((reached, progress))

            weights, reached = run(
                start=start,
                report=report,
                keep=lambda tensors, reached: save_checkpoint(folder, tensors, known, reached),
            )
    net = settings.network
    spec = NetworkSpec(net.fc1, net.lstm, net.account_at)
    model = build_model(weights, spec, get_features(net.features))
    return Member(weights, reached, out_of_fold(model, markets, block, settings))


def _chosen(
    markets: Sequence[Market], settings: TrainingSettings, members: Sequence[Member], recipe: Mapping[str, Any]
) -> Selection:
    judged = [result for member in members for result in member.judged]
    told = evidence(judged, settings.blocks.trials, markets[0].bar)
    count = len(members)
    figures = summary(judged, markets[0].bar)
    figures |= {"timing_ci95_a_year": [round(end, 6) for end in told.ci], "p_value": round(told.p_value, 6)}
    share = standing_share(markets, settings)
    if told.found:
        model_is = f"the model is the average of the {count} networks"
    else:
        model_is = (
            f"the model stands at {share:.0%} in coins, for a volatility of {settings.risk.volatility:.0%} a year"
        )
    verdict = (
        f"{told.sentence}. That is of {figures['hours']:,} hours, each judged with the one of {count} networks that "
        f"had not learned from it, {figures['cost_a_year']:.3f} a year of costs included; {model_is}."
    )
    reached = [member.reached for member in members]
    training = {
        **recipe,
        "steps": sum(one.iterations for one in reached) * member_settings(settings).steps_per_iteration,
        "updates": sum(one.updates for one in reached),
        "episode_profit_last100": float(np.mean([profit for one in reached for profit in one.profits])),
        "out_of_fold": figures,
        "verdict": verdict,
    }
    if not told.found:
        model = rule_model(f"mix?share={share}&band={_BAND}", training=training)
    else:
        net = settings.network
        spec = NetworkSpec(net.fc1, net.lstm, net.account_at)
        weights = [member.weights for member in members]
        model = build_ensemble(weights, spec, get_features(net.features), training=training)
    return Selection(model, reached, told.found, verdict, figures)


def standing_share(markets: Sequence[Market], settings: TrainingSettings) -> float:
    """The share in coins, in hundredths, at which an account's volatility would have been `risk.volatility` a year:
    that over the volatility of the hourly returns of all markets, at most `risk.most`.
    """
    squares = np.concatenate(
        [np.square(np.diff(np.log(numbers(run)[:, 3]))) for market in markets for run in stretches(market)]
    )
    volatility = float(np.sqrt(squares.mean() * bars_a_year(markets[0].bar)))
    wanted = settings.risk.volatility / max(volatility, 1e-9)
    return round(min(max(wanted, _LEAST_SHARE), settings.risk.most), 2)
