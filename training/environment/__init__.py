"""The article's trading environment, for one account (gymnasium) and for many (tensors)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
