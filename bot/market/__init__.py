"""What a candle is, files of candles, the exchange through ccxt, and what it says against what is stored.

Nothing that comes from outside is believed before it was checked here; no decision is made here."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
