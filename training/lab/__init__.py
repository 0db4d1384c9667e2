"""Judging trainers and models: the offline round of retraining, and the speed benchmark."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
