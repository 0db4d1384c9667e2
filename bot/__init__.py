"""hourhand: an hourly paper trader with a learned policy and a ledger that proves itself."""

__version__ = "0.1.0"
