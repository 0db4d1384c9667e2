"""Candles for training: files with their origin, and downloads from an exchange."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
