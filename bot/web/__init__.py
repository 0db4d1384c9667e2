"""The page and the API: a process of its own that reads the ledger beside the daemon, and never writes to it.

What changes something goes through the same small files as the commands: the registry's pointer, and the pauses beside
it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
