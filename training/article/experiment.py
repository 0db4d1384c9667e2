"""`hourhand-train article`: the article's whole experiment, with its five charts and the figures behind them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bot.clock import utc
from bot.model import ACTIONS, Model
from bot.trading import Rules
from training.article import charts
from training.article.ppo import Episode
from training.evaluation import Runs, Span, evaluate_model, evaluation_statistics, hold_values, policy_runs

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
        "training": evaluation_statistics(evaluate_model(model, training, seed=seed)),
        "unseen": evaluation_statistics(evaluate_model(model, unseen, seed=seed)),
    }
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
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
    charts.save(charts.exposure_chart(times, closes, run.shares[:, 0], hold_shares), share)
    _write_account(account.with_suffix(".csv"), span, run, hold)


def _write_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    total = 0.0
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["episode", *Episode._fields, "total"])
        for number, episode in enumerate(episodes, 1):
            total += episode.profit
            rows.writerow([number, *episode, total])


def _write_account(path: Path, span: Span, run: Runs, hold: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "close", "action", "stocks", "share_in_coins", "value", "hold_value", "profit"])
        numbers = (run.stocks[:, 0], run.shares[:, 0], run.values[:, 0], hold, run.values[:, 0] - hold)
        for candle, action, *row in zip(
            span.decided, run.actions[:, 0].tolist(), *(column.tolist() for column in numbers), strict=True
        ):
            rows.writerow([utc(candle.bar_time), candle.close, ACTIONS[action], *row])
