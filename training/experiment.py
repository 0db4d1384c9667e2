"""`hourhand-train article`: the article's whole experiment, with its five charts and the figures behind them."""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from bot.account import ACTIONS, Rules
from bot.candles import Candle, bar_seconds
from bot.checkpoint import Model, save
from bot.clock import utc
from bot.commands.common import add_json, show
from bot.commands.tables import progress
from bot.errors import UsageError
from training import charts
from training.article import EPISODES, LENGTH, Episode, article_model, train_article
from training.backtest import Runs, Span, hold_values, policy_runs, span_of
from training.candles import between, read_file, utc_date
from training.evaluate import evaluation_summary

FIRST: Final = "2018-05-06T17:00"
LAST: Final = "2019-06-27T04:00"
UNSEEN: Final = "2019-12-01"
_RULES: Final = Rules()
_BLOCK: Final = 500


def report(
    out: Path, model: Model, episodes: Sequence[Episode], training: Span, unseen: Span, seed: int = 0
) -> dict[str, Any]:
    """Draw the charts of a trained model into `out`, write the tables behind them, and return the figures.

    The policy is run as the article does: one run with drawn actions from the initial account and a zero state. The
    figures are those of `evaluate`, over 16 such runs.
    """
    profits = np.array([episode.profit for episode in episodes])
    _write_episodes(out / "episodes.csv", episodes)
    charts.save(charts.episodes_chart(profits), out / "2-profit-per-episode.png")
    _draw(out, model, training, seed, ("1-market", "3-account", "4-share-and-price"), "the training window")
    names = ("5-unseen-market", "5-unseen-account", "5-unseen-share-and-price")
    _draw(out, model, unseen, seed, names, "unseen candles")
    blocks = [profits[n : n + _BLOCK] for n in range(0, len(profits), _BLOCK)]
    figures = {
        "profit_per_episode": [
            {
                "episodes": f"{n * _BLOCK + 1}-{n * _BLOCK + len(block)}",
                "mean": float(block.mean()),
                "above_zero": float((block > 0).mean()),
            }
            for n, block in enumerate(blocks)
        ],
        "training": evaluation_summary(model, training, seed=seed),
        "unseen": evaluation_summary(model, unseen, seed=seed),
    }
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _draw(out: Path, model: Model, span: Span, seed: int, names: Sequence[str], what: str) -> None:
    run = policy_runs(model, span, _RULES, "sample", [seed])
    hold, closes = hold_values(span, _RULES)[:, 0], span.closes
    hold_shares = _RULES.initial_stocks * closes / hold
    times = charts.days([candle.bar_time for candle in span.decided])
    market, account, share = (out / f"{name}.png" for name in names)
    charts.save(charts.market_chart(times, closes, f"The market of {what}"), market)
    drawn = charts.account_chart(times, run.values[:, 0], run.stocks[:, 0], closes, _RULES.initial_stocks, hold)
    charts.save(drawn, account)
    charts.save(charts.exposure_chart(times, closes, run.shares, hold_shares, "holding"), share)
    _write_account(account.with_suffix(".csv"), span, run, hold)


def _write_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    total = 0.0
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["episode", *Episode._fields, "total"])
        for number, episode in enumerate(episodes, 1):
            total += episode.profit
            rows.writerow([number, *episode, total])


def _write_account(path: Path, span: Span, run: Runs, hold: Any) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "close", "action", "stocks", "share_in_coins", "value", "hold_value", "profit"])
        numbers = (run.stocks[:, 0], run.shares[:, 0], run.values[:, 0], hold, run.values[:, 0] - hold)
        for candle, action, *row in zip(
            span.decided, run.actions[:, 0].tolist(), *(column.tolist() for column in numbers), strict=True
        ):
            rows.writerow([utc(candle.bar_time), candle.close, ACTIONS[action], *row])


def add_article(parser: argparse.ArgumentParser) -> None:
    """Arguments of `article`."""
    parser.description = (
        "Train the article's network by its loop on its window, and draw its five charts: the market, the profit per\n"
        "episode, the trained policy's account, its share in coins against the price, and the same on the candles\n"
        "after the window. The figures behind them are written beside them."
    )
    parser.epilog = "example: hourhand-train article --candles btcusd.parquet --out article"
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="CSV, csv.gz, Parquet or JSON")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for the model and the charts")
    parser.add_argument("--episodes", type=int, default=EPISODES, metavar="N", help=f"({EPISODES:,})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    parser.add_argument(
        "--from", type=utc_date, dest="since", default=utc_date(FIRST), metavar="DATE", help=f"({FIRST})"
    )
    parser.add_argument("--to", type=utc_date, dest="until", default=utc_date(LAST), metavar="DATE", help=f"({LAST})")
    parser.add_argument(
        "--unseen-to",
        type=utc_date,
        default=utc_date(UNSEEN),
        metavar="DATE",
        help=f"end of the unseen candles ({UNSEEN})",
    )
    add_json(parser)
    parser.set_defaults(run=_article_command)


def _article_command(arguments: argparse.Namespace) -> int:
    if arguments.episodes < 1 or not 0 <= arguments.seed < 2**63:
        raise UsageError("--episodes is 1 or more, --seed 0 or more")
    if (arguments.out / "model").exists():
        raise UsageError(f"{arguments.out} holds an experiment already: choose another --out")
    candles, origin = read_file(arguments.candles)
    bar = bar_seconds(origin.timeframe)
    window = between(candles, arguments.since, arguments.until)
    if len(window) <= LENGTH:
        raise UsageError(f"training needs more than {LENGTH} candles; from --from to --to there are {len(window)}")
    training = span_of(candles, arguments.since, arguments.until, bar, warmup=0)
    unseen = span_of(candles, arguments.until, arguments.unseen_to, bar, warmup=0)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{arguments.out} cannot be made: {error}") from error
    result = _run(arguments, window, training, unseen)
    if not arguments.json:
        for name in ("training", "unseen"):
            told = result.pop(name)
            result[f"{name}_log_return"] = told["policy"]["log_return"]
            result[f"{name}_hold_log_return"] = told["hold"]["log_return"]
    show(result, as_json=arguments.json)
    return 0


def _run(arguments: argparse.Namespace, window: list[Candle], training: Span, unseen: Span) -> dict[str, Any]:
    torch.set_num_threads(1)  # batches of one: a second thread only gets in the way
    with progress("episodes", arguments.episodes) as tell:
        trained = train_article(
            window, arguments.episodes, arguments.seed, progress=lambda number, _: tell(number, arguments.episodes)
        )
    model = article_model(window, trained, arguments.seed)
    save(model, arguments.out / "model")
    figures = report(arguments.out, model, trained.episodes, training, unseen, arguments.seed)
    return {
        "out": str(arguments.out),
        "model_id": model.model_id,
        "steps": trained.steps,
        "seconds": trained.seconds,
        "steps_per_second": trained.steps / trained.seconds,
        "episode_profit_last100": trained.profit_last100,
        "training": figures["training"],
        "unseen": figures["unseen"],
    }
