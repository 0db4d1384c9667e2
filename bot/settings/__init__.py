"""The settings: what can be set, how it is read from TOML and the environment, and where its paths count from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
