"""An exchange to practise on: generated candles, a loopback server that speaks Bitfinex's REST, and faults."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
