"""The pages of the reference, made from the source when the site is built: a hook of mkdocs."""

import argparse
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from sqlalchemy import Table

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bot.cli  # noqa: E402
import training.cli  # noqa: E402
from bot.clock import Clock  # noqa: E402
from bot.ledger import tables  # noqa: E402
from bot.settings import AccountSettings, ExchangeSettings, PolicySettings, Settings  # noqa: E402

MADE: Final = "<!-- made from the source: docs/reference_pages.py -->\n\n"
_SETTINGS: Final = """\
# Settings

All settings are in one TOML file, the first of: `--config`, `HOURHAND_CONFIG`, `./hourhand.toml`, `./config/bot.toml`,
`hourhand.toml` in the user's configuration folder. `hourhand init` writes one with every key. Relative paths in it, and
default paths, are resolved against its folder, or against the parent folder if that is `config/`.

The environment overrides each key as `HOURHAND_<SECTION>__<KEY>`; relative paths there are resolved against the current
folder. `HOURHAND_CONFIG` and `HOURHAND_CLOCK` are not keys.
"""
_TABLES: Final = """\
# Tables

What each column means is in [The ledger](../ledger.md#tables). All numbers with a fraction are IEEE doubles. In SQLite
the tables are `STRICT`; in PostgreSQL they are the same.
"""
_KEY: Final = re.compile(r"(?:# )?(?P<key>[a-z_]+) = (?P<value>\"[^\"]*\"|[^#\s]+)\s*(?:# (?P<what>.*))?")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those of the site, and the API's to its menu where there is one."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - only where the site is built

    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=MADE + text))
        if name == "api":
            reference = next(entry["Reference"] for entry in config["nav"] if "Reference" in entry)
            reference.append({"The API": "reference/api.md"})
    return files


def pages() -> dict[str, str]:
    """Every page of the reference, by its name."""
    made = {
        "settings": settings_page(),
        "hourhand": commands_page("hourhand", bot.cli.COMMANDS, bot.cli.command_loader("bot.commands")),
        "hourhand-train": commands_page(
            "hourhand-train", training.cli.COMMANDS, bot.cli.command_loader("training.commands")
        ),
        "tables": tables_page(),
    }
    schema = api_schema()
    return made | ({"api": api_page(schema)} if schema else {})


# ---- settings


def settings_page() -> str:
    """Every key: its default and bounds from the code, its meaning from the comments of config/bot.toml."""
    said = comments((ROOT / "config/bot.toml").read_text(encoding="utf-8"))
    parts = [_SETTINGS]
    for section, kind in get_type_hints(Settings, include_extras=True).items():
        inner = kind if isinstance(kind, type) and not isinstance(kind, GenericAlias) else get_args(kind)[0]
        many = inner is not kind
        parts.append(f"\n## `{'[[' if many else '['}{section}{']]' if many else ']'}`\n")
        about = (inner.__doc__ or "").split(": ", 1)[-1].strip()
        about = about[:1].upper() + about[1:]
        parts.append(f"{' '.join(about.split())}\n\n| key | default | what it may be | meaning |\n|---|---|---|---|")
        parts += list(_setting_rows(section, inner, said))
    return "\n".join(parts) + "\n"


def _setting_rows(section: str, kind: type[msgspec.Struct], said: Mapping[tuple[str, str], str]) -> Iterator[str]:
    defaults = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, hint in get_type_hints(kind, include_extras=True).items():
        field = defaults[key]
        default = "required" if field.required else f"`{json.dumps(msgspec.to_builtins(field.default))}`"
        meaning = said.get((section, key)) or _as_above(key)
        yield f"| `{key}` | {default.replace('`null`', 'as above')} | {bounds(hint)} | {meaning} |"


def _as_above(key: str) -> str:
    """Which key of the first market's sections a key of a further market is like."""
    if key == "exchange":
        return "as `exchange.id`"
    sections = (("exchange", ExchangeSettings), ("account", AccountSettings), ("policy", PolicySettings))
    return next((f"as `{section}.{key}`" for section, kind in sections if key in get_type_hints(kind)), "")


def bounds(hint: Any) -> str:
    """A type's values, in words."""
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        limits = [
            f"{word} {getattr(meta, name):,}"
            for meta in metas
            for name, word in (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"))
            if getattr(meta, name, None) is not None
        ]
        return " ".join([bounds(inner), *limits])
    if get_origin(hint) is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in get_args(hint))
    inner = [option for option in get_args(hint) if option not in (type(None), ...)]
    if get_origin(hint) is tuple:
        return f"a list: {bounds(inner[0])}"
    if inner and (get_origin(hint) is Union or type(None) in get_args(hint)):
        return bounds(inner[0])
    return {float: "a number", int: "a whole number", str: "a text", bool: "`true` or `false`"}.get(hint, str(hint))


def comments(text: str) -> dict[tuple[str, str], str]:
    """What the comments beside the keys of a settings file say, by section and key; they may go on on further lines."""
    found: dict[tuple[str, str], str] = {}
    section, last = "", None
    for line in text.splitlines():
        header = re.fullmatch(r"(?:# )?\[{1,2}([a-z]+)\]{1,2}", line.strip())
        match = _KEY.match(line)
        if header:
            section, last = header[1], None
        elif match:
            last = (section, match["key"])
            found[last] = (match["what"] or "").strip()
        elif last and re.match(r"(# )?\s{8,}#? ?\S", line):
            found[last] += " " + line.strip().lstrip("#").strip()
        else:
            last = None
    return found


# ---- commands


def commands_page(program: str, commands: Mapping[str, str], load: Callable[[str], Callable[..., object]]) -> str:
    """What `--help` says of every command."""
    parts = [f"# `{program}`\n\n| command | |\n|---|---|"]
    parts += [f"| [`{name}`](#{name}) | {summary} |" for name, summary in commands.items()]
    for name, summary in commands.items():
        parser = argparse.ArgumentParser(
            f"{program} {name}", description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        load(name)(parser)
        parts += [f"\n## `{name}` {{ #{name} }}\n", _help_block(parser)]
        parts += [_help_block(action) for action in _actions(parser)]
    return "\n".join(parts) + "\n"


def _help_block(parser: argparse.ArgumentParser) -> str:
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        return f"```text\n{parser.format_help().rstrip()}\n```\n"
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.values()


# ---- tables


def tables_page() -> str:
    """Columns, types and keys of every table; what they mean is on the page of the ledger."""
    parts = [_TABLES]
    for name, table in sorted(tables.metadata.tables.items()):
        parts += [f"\n## `{name}`\n\n| column | type | null | key |\n|---|---|---|---|", *_column_rows(table)]
    return "\n".join(parts) + "\n"


def _column_rows(table: Table) -> Iterator[str]:
    for column in table.columns:
        foreign = ", ".join(f"refers to `{key.target_fullname}`" for key in column.foreign_keys)
        key = ", ".join(filter(None, ["primary" if column.primary_key else "", foreign]))
        yield f"| `{column.name}` | {column.type} | {'yes' if column.nullable else 'no'} | {key} |"


# ---- the API


def api_schema() -> dict[str, Any] | None:
    """The schema that `hourhand serve` answers with; None where the package has no such server."""
    if importlib.util.find_spec("bot.web") is None:
        return None
    doors = importlib.import_module("bot.web.app").create_app(Settings(), Clock())
    routes = getattr(doors, "app", doors).routes
    answer = next(route for route in routes if getattr(route, "path", "") == "/api/v1/openapi.json").endpoint()
    return dict(json.loads(answer.body))


def api_page(schema: Mapping[str, Any]) -> str:
    """Every call: what it takes and what it answers."""
    parts = [f"# The API\n\n{schema['info'].get('description', '')}"]
    for path, methods in schema["paths"].items():
        for method, call in methods.items():
            parts.append(
                f"\n## `{method.upper()} {path}`\n\n{call.get('summary', '')}. {call.get('description', '')}\n"
            )
            rows = [_parameter_row(one) for one in call.get("parameters", ())]
            parts += ["| parameter | in | type | what it is |\n|---|---|---|---|", *rows] if rows else []
    return "\n".join(parts) + "\n"


def _parameter_row(one: Mapping[str, Any]) -> str:
    kinds = [option.get("type", "") for option in one["schema"].get("anyOf", [one["schema"]])]
    what = one.get("description") or one["schema"].get("description", "")
    return f"| `{one['name']}` | {one['in']} | {' or '.join(kinds)} | {what} |"
