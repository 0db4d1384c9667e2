"""The demo: two weeks of a daemon in less than a minute, offline, with what can go wrong in them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
