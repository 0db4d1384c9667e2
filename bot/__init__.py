"""hourhand: an hourly paper trader for learned policies, with a ledger that proves itself."""

__version__ = "0.1.0"
