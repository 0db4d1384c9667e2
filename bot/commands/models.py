"""`hourhand models`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from bot import registry
from bot.checkpoint import Manifest, load
from bot.clock import Clock, utc
from bot.commands.common import add_config, add_json, read_settings, show
from bot.commands.tables import show_table
from bot.errors import LedgerError, ModelError
from bot.ledger import reading
from bot.ledger.accounts import live_record
from bot.ledger.store import open_reader
from bot.settings import Settings

_DRY_RUN_BARS: Final = 500
_SUMMARIES: Final = {
    "list": "every model, which is current, and since when",
    "show": "one model: what it is, how it was trained and evaluated, how it did live",
    "publish": "check a model's folder and copy it into the registry",
    "promote": "make a model current; a running daemon takes it up between two bars",
    "rollback": "make the model before the current one current again",
    "shadow": "let a model trade beside the current one, on an account of its own",
    "unshadow": "end that; its account stays in the ledger",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `models`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in _SUMMARIES.items():
        action = actions.add_parser(name, help=summary, description=summary)
        add_config(action)
        add_json(action)
        if name == "publish":
            action.add_argument("model", type=Path, metavar="DIR", help="a folder with model.json and its weights")
        elif name in ("show", "promote", "shadow", "unshadow"):
            action.add_argument("model", metavar="ID", help="a model_id, as `models list` shows it")
        example = {"publish": " runs/today", "list": "", "rollback": ""}.get(name, " 07fc8e0940da1ce8")
        action.epilog = f"example: hourhand models {name}{example}"
    parser.epilog = "example: hourhand models publish runs/today && hourhand models promote 07fc8e0940da1ce8"


def call(options: Namespace) -> int:
    """Do one thing to the registry, the folder that `policy.model` points into."""
    settings, clock = read_settings(options)
    _ACTIONS[options.action](options, settings, clock)
    return 0


def _list(options: Namespace, settings: Settings, _: Clock) -> None:
    pointer = Path(settings.policy.model)
    told = registry.read_pointer(pointer) if pointer.is_file() else registry.Pointer("")
    rows = []
    for model_id in registry.model_ids(pointer):
        try:
            manifest = _manifest(pointer, model_id)
            trained, problem = manifest.training.get("algorithm"), None
        except ModelError as error:
            trained, problem = None, str(error)
        role = "current" if model_id == told.model_id else "shadow" if model_id in told.shadows else ""
        since = utc(told.since) if model_id == told.model_id and told.since else None
        rows.append({"model_id": model_id, "role": role, "since": since, "trained": trained, "problem": problem})
    if options.json:
        show({"current": told.model_id or None, "models": rows}, as_json=True)
    else:
        body = [["" if cell is None else cell for cell in row.values()] for row in rows]
        show_table(("model", "role", "since", "trained by", "problem"), body)


def _show(options: Namespace, settings: Settings, _: Clock) -> None:
    manifest = _manifest(Path(settings.policy.model), options.model)
    told = {**msgspec.to_builtins(manifest), "live": _live(settings, options.model)}
    if options.json:
        show(told, as_json=True)
        return
    flat: dict[str, Any] = {}
    for name, value in told.items():
        flat |= {f"{name} {key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    show(flat, as_json=False)


def _publish(options: Namespace, settings: Settings, _: Clock) -> None:
    try:
        ledger = open_reader(settings.ledger.url)
    except LedgerError:
        recent = []
    else:
        with ledger.reading() as connection:
            newest = reading.newest_bar(connection, settings.market) or 0
            recent = reading.candles_between(connection, settings.market, newest - _DRY_RUN_BARS * settings.bar, newest)
        ledger.close()
    model = registry.publish(Path(settings.policy.model), options.model, recent)
    if options.json:
        show({"model_id": model.model_id}, as_json=True)
    else:
        print(model.model_id)


def _promote(options: Namespace, settings: Settings, clock: Clock) -> None:
    _tell(registry.promote(Path(settings.policy.model), options.model, clock.now()), options)


def _rollback(options: Namespace, settings: Settings, clock: Clock) -> None:
    _tell(registry.rollback(Path(settings.policy.model), clock.now()), options)


def _shadow(options: Namespace, settings: Settings, _: Clock) -> None:
    _tell(registry.shadow(Path(settings.policy.model), options.model, on=options.action == "shadow"), options)


def _tell(pointer: registry.Pointer, options: Namespace) -> None:
    before = pointer.before[-1].model_id if pointer.before else None
    show({"model_id": pointer.model_id, "before": before, "shadows": list(pointer.shadows)}, as_json=options.json)


def _manifest(pointer: Path, model_id: str) -> Manifest:
    return msgspec.json.decode(load(registry.folder_of(pointer, model_id)).manifest, type=Manifest)


def _live(settings: Settings, model_id: str) -> dict[str, Any]:
    """How the model did in the ledger, account by account; nothing where there is no ledger yet."""
    try:
        ledger = open_reader(settings.ledger.url)
    except LedgerError:
        return {}
    with ledger.reading() as connection:
        told = live_record(connection, model_id)
    ledger.close()
    return told


_ACTIONS: Final[dict[str, Callable[[Namespace, Settings, Clock], None]]] = {
    "list": _list,
    "show": _show,
    "publish": _publish,
    "promote": _promote,
    "rollback": _rollback,
    "shadow": _shadow,
    "unshadow": _shadow,
}
