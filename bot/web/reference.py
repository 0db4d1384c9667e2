"""The API's documentation as a page, made from its schema."""

from collections.abc import Mapping
from html import escape
from typing import Any

from bot.report import formatting
from bot.web.layout import document


def reference_page(schema: Mapping[str, Any]) -> str:
    """One section for each call: what it takes, what it answers, and how to try it."""
    about = escape(schema["info"]["description"])
    machines = '<a href="/api/v1/openapi.json">openapi.json</a>, the same for machines. <a href="/">The page</a>.'
    parts = [f"<header><h1>The API of hourhand</h1><p class='soft'>{about}</p><p>{machines}</p></header>"]
    for path, methods in schema["paths"].items():
        parts += [_call(path, method, call, schema) for method, call in methods.items()]
    return document("The API of hourhand", f"<main class='reference'>{''.join(parts)}</main>")


def _call(path: str, method: str, call: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    asked = call.get("parameters", ())
    parameters = [
        [one["name"], one["in"], _bounds(one["schema"]), one["schema"].get("description") or one.get("description", "")]
        for one in asked
    ]
    head = ("parameter", "in", "what it may be", "what it is")
    token = ' -X POST -H "Authorization: Bearer $HOURHAND_SERVE__TOKEN"' if method == "post" else ""
    content = call["responses"].get("200", {}).get("content", {}).get("application/json", {})
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(call.get('summary', ''))}. "
        f"{escape(call.get('description', ''))}</p>"
        + (formatting.table(head, parameters, "words", f"Parameters of {path}") if parameters else "")
        + _answer(content.get("schema", {}), schema, path)
        + f"<pre tabindex='0'>curl{token} http://127.0.0.1:8420{escape(path)}</pre></section>"
    )


def _bounds(one: Mapping[str, Any]) -> str:
    inner = next((option for option in one.get("anyOf", ()) if option.get("type") != "null"), one)
    words = [str(inner.get("type", ""))]
    words += [f"{word} {inner[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in inner]
    words += [f"like {inner['pattern']}"] if "pattern" in inner else []
    words += [f"default {one['default']}"] if one.get("default") not in (None, "") else []
    return ", ".join(words)


def _answer(answer: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> str:
    rows = [[name, kind, what] for name, kind, what in _fields(answer, schema)]
    return formatting.table(("answer", "type", "what it is"), rows, "words", f"Answer of {path}") if rows else ""


def _fields(answer: Mapping[str, Any], schema: Mapping[str, Any], before: str = "") -> list[tuple[str, str, str]]:
    if answer.get("type") == "array":
        return _fields(answer["items"], schema, f"{before}[]")
    reference = answer.get("$ref", "").rpartition("/")[2]
    rows: list[tuple[str, str, str]] = []
    for name, one in schema["components"]["schemas"].get(reference, {}).get("properties", {}).items():
        whole = f"{before}.{name}".lstrip(".")
        kinds = [option.get("type", "") for option in one.get("anyOf", [one])]
        rows.append((whole, " or ".join(kinds), one.get("description", "")))
        if one.get("type") == "array" and "$ref" in one["items"]:
            rows += _fields(one, schema, whole)
    return rows
