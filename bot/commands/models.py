"""`hourhand models`."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bot.clock import Clock, utc
from bot.console import add_config, add_json, print_result, print_table, read_settings
from bot.errors import LedgerError
from bot.ledger import model_performance, open_reader, reading
from bot.model import (
    Pointer,
    load_model,
    manifest_of,
    named_model,
    provide_shipped,
    read_pointer,
    registry,
    shipped_ids,
)
from bot.settings import Settings
from bot.trading import dry_run

_DRY_RUN_BARS: Final = 500
_TIMES: Final = ("first_candle", "last_candle", "first", "last")
_OUTCOMES: Final = {
    "evaluation updated": "the registry has this model already; its evaluation is updated",
    "unchanged": "the registry has this model already; nothing is changed",
}
_SUMMARIES: Final = {
    "list": "list every model, which one is current and since when, and the models that this version ships",
    "show": "show a model, how it was trained and evaluated, and how it did live",
    "publish": "check a model's folder and copy it into the registry",
    "promote": "make a model current; a running daemon switches to it between two bars",
    "rollback": "make the previous model current again",
    "shadow": "let a model trade beside the current one, on an account of its own",
    "unshadow": "stop a shadow; its account stays in the ledger",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `models`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in _SUMMARIES.items():
        action = actions.add_parser(name, help=summary, description=summary)
        add_config(action)
        add_json(action)
        if name == "publish":
            action.add_argument("model", metavar="DIR", help="a folder with model.json and its weights, or rule:NAME")
        elif name in ("show", "promote", "shadow", "unshadow"):
            action.add_argument("model", metavar="ID", help="a model_id, or the first digits of one")
        example = {"publish": " runs/today", "list": "", "rollback": ""}.get(name, " a66c854e159c2245")
        action.epilog = f"example: hourhand models {name}{example}"
    parser.epilog = "example: hourhand models publish runs/today && hourhand models promote a66c854e159c2245"


def call(parsed_args: Namespace) -> int:
    """Do one thing to the registry, the folder that `policy.model` points into."""
    settings, clock = read_settings(parsed_args)
    pointer = registry.require_registry(settings.policy.model)
    provide_shipped(pointer)
    if parsed_args.action in ("show", "promote", "shadow", "unshadow"):
        parsed_args.model = registry.find_model_id(pointer, parsed_args.model)
    _ACTIONS[parsed_args.action](parsed_args, settings, clock)
    return 0


def _list(parsed_args: Namespace, settings: Settings, _: Clock) -> None:
    rows = registry.list_models(Path(settings.policy.model))
    for row in rows:
        row["since"] = utc(row["since"]) if row["since"] else None
    current = next((row["model_id"] for row in rows if row["role"] == "current"), None)
    not_copied = sorted(set(shipped_ids()) - {row["model_id"] for row in rows})  # of a newer version of hourhand
    empty = {"since": None, "trained": None, "problem": None}
    rows += [{"model_id": model_id, "role": "shipped", **empty} for model_id in not_copied]
    if parsed_args.json:
        print_result({"current": current, "models": rows}, as_json=True)
    else:
        body = [["" if cell is None else cell for cell in row.values()] for row in rows]
        print_table(("model", "role", "since", "trained by", "problem"), body)


def _show(parsed_args: Namespace, settings: Settings, _: Clock) -> None:
    manifest = manifest_of(registry.load_published(Path(settings.policy.model), parsed_args.model))
    result = {**msgspec.to_builtins(manifest), "live": _live(settings, parsed_args.model)}
    print_result(result if parsed_args.json else dict(_lines(result)), as_json=parsed_args.json)


def _lines(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values as lines for people: lists in words, bar times as dates."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lines(inner, f"{name} {key}".strip())
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value)) or None
    elif isinstance(value, int) and name.rsplit(" ", 1)[-1] in _TIMES:
        yield name, utc(value)
    else:
        yield name, value


def _publish(parsed_args: Namespace, settings: Settings, _: Clock) -> None:
    try:
        ledger = open_reader(settings.ledger.url)
    except LedgerError:
        recent = []
    else:
        with ledger.reading() as connection:
            newest = reading.newest_bar(connection, settings.market) or 0
            recent = reading.read_candles_between(
                connection, settings.market, newest - _DRY_RUN_BARS * settings.bar, newest
            )
        ledger.close()
    name = parsed_args.model
    model = load_model(Path(name)) if registry.is_path(name) else named_model(name)
    dry_run(model, recent)
    outcome = registry.publish(Path(settings.policy.model), model)
    if parsed_args.json:
        print_result({"model_id": model.model_id, "outcome": outcome}, as_json=True)
        return
    print(model.model_id)
    if outcome != "added":
        print(_OUTCOMES[outcome], file=sys.stderr)


def _promote(parsed_args: Namespace, settings: Settings, clock: Clock) -> None:
    pointer = Path(settings.policy.model)
    shadows = read_pointer(pointer).shadows if pointer.is_file() else ()
    _show_pointer(registry.promote(pointer, parsed_args.model, clock.now()), parsed_args)
    if parsed_args.model in shadows:
        print("it is no longer a shadow; its account stays in the ledger", file=sys.stderr)


def _rollback(parsed_args: Namespace, settings: Settings, clock: Clock) -> None:
    _show_pointer(registry.rollback(Path(settings.policy.model), clock.now()), parsed_args)


def _shadow(parsed_args: Namespace, settings: Settings, _: Clock) -> None:
    _show_pointer(registry.shadow(Path(settings.policy.model), parsed_args.model), parsed_args)


def _unshadow(parsed_args: Namespace, settings: Settings, _: Clock) -> None:
    _show_pointer(registry.unshadow(Path(settings.policy.model), parsed_args.model), parsed_args)


def _show_pointer(pointer: Pointer, parsed_args: Namespace) -> None:
    result = pointer.summary()
    print_result(result if parsed_args.json else dict(_lines(result)), as_json=parsed_args.json)


def _live(settings: Settings, model_id: str) -> dict[str, Any]:
    """How the model did in the ledger, account by account; nothing where there is no ledger yet."""
    try:
        ledger = open_reader(settings.ledger.url)
    except LedgerError:
        return {}
    with ledger.reading() as connection:
        performance = model_performance(connection, model_id)
    ledger.close()
    return performance


_ACTIONS: Final[dict[str, Callable[[Namespace, Settings, Clock], None]]] = {
    "list": _list,
    "show": _show,
    "publish": _publish,
    "promote": _promote,
    "rollback": _rollback,
    "shadow": _shadow,
    "unshadow": _unshadow,
}
