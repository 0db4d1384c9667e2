"""Who is paused now, by the files that `hourhand pause` and the page write, one beside each market's pointer."""

from collections.abc import Iterable
from pathlib import Path

import structlog

from bot.errors import UsageError
from bot.model import pauses, registry
from bot.settings import PolicySettings, Settings

log = structlog.get_logger()


def paused_accounts(settings: Settings) -> dict[str, float]:
    """The accounts for which a pause is asked, and since when. Raises UsageError where a file cannot be read."""
    return {account: at for pointer in _pointers(settings) for account, at in pauses.read_paused(pointer).items()}


def ask_to_pause(settings: Settings, accounts: Iterable[str], now: float) -> None:
    """Ask for the accounts to be paused. Raises ModelError where that cannot be written."""
    names = list(accounts)
    for pointer in _pointers(settings):
        pauses.pause(pointer, names, now)


def ask_to_resume(settings: Settings, accounts: Iterable[str]) -> None:
    """Ask for the accounts to be traded again. Raises ModelError where that cannot be written."""
    names = list(accounts)
    for pointer in _pointers(settings):
        pauses.resume(pointer, names)


def pause_pointer(settings: Settings) -> Path:
    """The path beside which a market's pauses are kept: its pointer, the default one where a rule decides."""
    name = settings.policy.model
    return Path(name if registry.is_path(name) else PolicySettings().model)


def _pointers(settings: Settings) -> list[Path]:
    return list(dict.fromkeys(map(pause_pointer, settings.each_market())))


class PauseWatcher:
    """Reads the file again when it has been replaced, and logs what changed, unless it `is_quiet`."""

    def __init__(self, pointer: Path, *, is_quiet: bool = False) -> None:
        """Raises UsageError where the file is not one: whether to trade is nothing to guess."""
        self.pointer, self.is_quiet = pointer, is_quiet
        self._signature = self._current_signature()
        self._accounts = frozenset(pauses.read_paused(pointer))
        if self._accounts and not is_quiet:
            log.warning("paused", accounts=sorted(self._accounts))

    def accounts(self) -> frozenset[str]:
        """The paused accounts. A file that cannot be read changes nothing."""
        signature = self._current_signature()
        if signature == self._signature:
            return self._accounts
        self._signature, before = signature, self._accounts
        try:
            self._accounts = frozenset(pauses.read_paused(self.pointer))
        except UsageError as error:
            log.warning("pauses_unreadable", error=str(error))
        for kind, accounts in (("paused", self._accounts - before), ("resumed", before - self._accounts)):
            if accounts and not self.is_quiet:
                log.warning(kind, accounts=sorted(accounts))
        return self._accounts

    def _current_signature(self) -> tuple[int, ...] | None:
        try:
            stat = pauses.pause_file(self.pointer).stat()
        except OSError:
            return None
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
