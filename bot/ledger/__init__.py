"""The ledger: tables, the one transaction of a bar, reading, resuming an account, the hash chain, `verify`, and
migrations.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
