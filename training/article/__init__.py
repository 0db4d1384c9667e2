"""The article's algorithm to the letter, its loop as published, and its experiment with charts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
