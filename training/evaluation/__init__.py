"""Accounts over spans of candles: the policy as the daemon runs it, its baselines, and statistics."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
