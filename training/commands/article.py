"""`hourhand-train article`: the whole experiment of the article."""

import argparse
from pathlib import Path
from typing import Any

from bot.clock import bar_seconds
from bot.console import add_json, print_result, progress
from bot.errors import UsageError
from bot.market import Candle
from bot.model import save_model
from training import article
from training.article import EPISODES, FIRST, LAST, LENGTH, UNSEEN
from training.commands.common import utc_date
from training.data import between, read_file
from training.evaluation import Span, span_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `article`."""
    parser.description = (
        "Train the article's network with the article's loop on its window, and draw its five charts: the market, the\n"
        "profit per episode, the trained policy's account, its share in coins against the price, and the same on the\n"
        "candles after the window. The figures behind the charts are written beside them."
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


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if parsed_args.episodes < 1 or not 0 <= parsed_args.seed < 2**63:
        raise UsageError("--episodes must be 1 or more, --seed 0 or more")
    if (parsed_args.out / "model").exists():
        raise UsageError(f"{parsed_args.out} holds an experiment already: choose another --out")
    candles, origin = read_file(parsed_args.candles)
    bar = bar_seconds(origin.timeframe)
    window = between(candles, parsed_args.since, parsed_args.until)
    if len(window) <= LENGTH:
        raise UsageError(f"training needs more than {LENGTH} candles; from --from to --to there are {len(window)}")
    training = span_of(candles, parsed_args.since, parsed_args.until, bar, warmup=0)
    unseen = span_of(candles, parsed_args.until, parsed_args.unseen_to, bar, warmup=0)
    try:
        parsed_args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{parsed_args.out} cannot be made: {error}") from error
    result = _run(parsed_args, window, training, unseen)
    if not parsed_args.json:
        for name in ("training", "unseen"):
            evaluation = result.pop(name)
            result[f"{name}_log_return"] = evaluation["policy"]["log_return"]
            result[f"{name}_hold_log_return"] = evaluation["hold"]["log_return"]
    print_result(result, as_json=parsed_args.json)
    return 0


def _run(parsed_args: argparse.Namespace, window: list[Candle], training: Span, unseen: Span) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - an extra, and slow to load

    torch.set_num_threads(1)  # batches of one: a second thread only gets in the way
    with progress("episodes", parsed_args.episodes) as tell:
        trained = article.train_article(
            window,
            parsed_args.episodes,
            parsed_args.seed,
            progress=lambda number, _: tell(number, parsed_args.episodes),
        )
    model = article.article_model(window, trained, parsed_args.seed)
    save_model(model, parsed_args.out / "model")
    figures = article.report(parsed_args.out, model, trained.episodes, training, unseen, parsed_args.seed)
    return {
        "out": str(parsed_args.out),
        "model_id": model.model_id,
        "steps": trained.steps,
        "seconds": trained.seconds,
        "steps_per_second": trained.steps / trained.seconds,
        "episode_profit_last100": trained.profit_last100,
        "training": figures["training"],
        "unseen": figures["unseen"],
    }
