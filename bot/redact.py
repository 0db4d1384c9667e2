"""No secret in any output: what passwords, tokens and private addresses become before a text is shown or stored."""

import re
from typing import Any, Final

MASK: Final = "***"

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_ADDRESS: Final = re.compile(
    r"postgres\w*(?:\+\w+)?:[^\n]*@\S*"  # up to the last @ of the line: a password may hold anything
    rf"|{_SCHEME}://\S+"
    rf"|[^\s:]+:\S*@\S*"  # no scheme, or one without its slashes
)
_AFTER: Final = re.compile(r"[\"'`,.;:)\]}>]*\Z")
_NAMES = r"\w*(?:password|passwd|passphrase|pwd)|(?:\w+[_-])?(?:token|secret|key)|api_?key"
_ASSIGNED: Final = re.compile(rf"\b({_NAMES})=[^\s&]+", re.IGNORECASE)
_QUOTED: Final = re.compile(rf"([\"'](?:{_NAMES})[\"']\s*:\s*)([\"']).*?\2", re.IGNORECASE)
_BEARER: Final = re.compile(r"\b(Bearer|Authorization:\s*\w+)\s+\S+", re.IGNORECASE)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_NAME: Final = re.compile(r"[\w.-]*", re.ASCII)
_DATABASE: Final = re.compile(r"postgres\w*(\+\w+)?", re.IGNORECASE)
_OWN_PATHS: Final = frozenset({"", "/", "/metrics", "/healthz"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def redact(text: str) -> str:
    """The text without the secrets in it.

    Addresses keep their scheme and host, database addresses their database too, SQLite's their file; values called
    password, token, key or secret are masked. A notification address keeps its scheme alone.
    """
    text = _ADDRESS.sub(_redacted_match, text)
    text = _QUOTED.sub(rf"\1\2{MASK}\2", text)
    return _BEARER.sub(rf"\1 {MASK}", _ASSIGNED.sub(rf"\1={MASK}", text))


def redact_url(url: str) -> str:
    """One whole address without its secrets, also one that cannot be parsed."""
    scheme, found, rest = url.strip().partition("://")
    if not found or re.fullmatch(_SCHEME, scheme) is None:
        return MASK
    before, query, after = rest.partition("?")
    masked_query = f"?{MASK}" if query else ""
    if scheme.lower().startswith("sqlite") and before.startswith("/"):
        return f"{scheme}://{before}{masked_query}"
    user, at, place = before.rpartition("@")
    host, slash, path = place.partition("/")
    if "@" in after or _HOST.fullmatch(host) is None:  # an @ after the ? is part of a password
        return f"{scheme}://{MASK}"
    if _DATABASE.fullmatch(scheme):
        path = path if _NAME.fullmatch(path) else MASK
    elif scheme.lower() not in ("http", "https"):
        return f"{scheme}://{MASK}"
    elif slash + path not in _OWN_PATHS:
        path = MASK
    masked_user = f"{MASK}@" if at and user else ""
    return f"{scheme}://{masked_user}{host}{slash}{path}{masked_query}"


def redact_values(value: Any) -> Any:
    """A value with every text in it redacted, however deep in dictionaries and lists."""
    match value:
        case str():
            return redact(value)
        case dict():
            return {name: redact_values(inner) for name, inner in value.items()}
        case list() | tuple():
            return [redact_values(inner) for inner in value]
    return value


def one_line(text: str) -> str:
    """The text redacted, for a terminal: on one line and without escape sequences."""
    lines = " ".join(line.strip() for line in redact(text).splitlines())
    return printable(lines)


def printable(text: str) -> str:
    """The text with control characters written out, so that none reaches a terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _redacted_match(match: re.Match[str]) -> str:
    whole = match[0]
    lead = whole.find("://")
    after = _AFTER.search(whole)
    ending = after[0] if after else ""
    body = whole[: len(whole) - len(ending)]
    if lead < 0:
        _, _, place = body.rpartition("@")
        return f"{MASK}@{place if _HOST.fullmatch(place) else MASK}{ending}"
    return redact_url(body) + ending
