"""Observers of the daemon: metrics, notifications, systemd, health. Each runs in a thread of its own,
so that none can delay a bar.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
