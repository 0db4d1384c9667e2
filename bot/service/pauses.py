"""Who is paused now, by the file that `hourhand pause` and the page write: one for all markets of a daemon."""

from collections.abc import Iterable
from pathlib import Path

import structlog

from bot.errors import UsageError
from bot.model import pauses, registry
from bot.settings import PolicySettings, Settings, in_settings_folder

log = structlog.get_logger()


def paused_accounts(settings: Settings) -> dict[str, float]:
    """The accounts for which a pause is asked, and since when. Raises UsageError where the file cannot be read."""
    return pauses.read_paused(pause_pointer(settings))


def ask_to_pause(settings: Settings, accounts: Iterable[str], now: float) -> dict[str, float]:
    """Ask for the accounts to be paused; who is paused then. Raises ModelError where that cannot be written."""
    return pauses.pause(pause_pointer(settings), accounts, now)


def ask_to_resume(settings: Settings, accounts: Iterable[str]) -> dict[str, float]:
    """Ask for the accounts to be traded again; who is paused then. Raises ModelError where that cannot be written."""
    return pauses.resume(pause_pointer(settings), accounts)


def pause_pointer(settings: Settings) -> Path:
    """The path beside which pauses are kept: `policy.model`, its default where a rule decides. Further markets have
    none of their own, as a daemon that reads its settings again may change their models.
    """
    name = settings.policy.model
    return Path(name) if registry.is_path(name) else in_settings_folder(PolicySettings().model)


class PauseWatcher:
    """Reads the file again when it has been replaced, and logs what changed."""

    def __init__(self, pointer: Path) -> None:
        """Raises UsageError where the file is not one: whether to trade is nothing to guess."""
        self.pointer = pointer
        self._signature = self._current_signature()
        self._accounts = frozenset(pauses.read_paused(pointer))
        if self._accounts:
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
            if accounts:
                log.warning(kind, accounts=sorted(accounts))
        return self._accounts

    def _current_signature(self) -> tuple[int, ...] | None:
        try:
            stat = pauses.pause_file(self.pointer).stat()
        except OSError:
            return None
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
