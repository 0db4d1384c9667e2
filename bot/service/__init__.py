"""The daemon: its loop, one poll, when to wake up, which traders there are, and `replay`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
