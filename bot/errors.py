"""What can go wrong, sorted by the exit code that tells the outside about it."""


class HourhandError(Exception):
    """A failure with one clear sentence for a person. `exit_code` is what the command ends with."""

    exit_code = 1


class UsageError(HourhandError):
    """Wrong usage or settings: something that the person who started the command can mend."""

    exit_code = 2


class UnknownSymbolError(UsageError):
    """The exchange's own list of markets does not have the symbol."""


class LedgerInUseError(HourhandError):
    """Another daemon writes to the ledger."""

    exit_code = 3


class LedgerError(HourhandError):
    """The ledger cannot be used: read-only, corrupt, full, from a newer version, or not a ledger."""

    exit_code = 4


class LedgerUnavailableError(LedgerError):
    """The ledger cannot be used now and may be later: no room on the disk, a lost connection."""


class WrongMarketError(LedgerError):
    """The exchange's candles are of another market than the ledger's."""


class LedgerGoneError(LedgerUnavailableError):
    """The file of an open ledger is no longer at its path."""


class LedgerReplacedError(LedgerError):
    """Another file is at the path of an open ledger."""


class ModelError(HourhandError):
    """The model cannot be used: missing, altered, or made for something else."""

    exit_code = 5


class ExchangeError(HourhandError):
    """The exchange cannot be reached or answers nonsense; trying again may help.

    `retry_after`: seconds that the exchange asked to be left alone, 0 where it did not say.
    """

    exit_code = 6

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ExchangeRefusedError(ExchangeError):
    """The exchange refuses for good (HTTP 401, 403, 451): asking again soon does not help."""
