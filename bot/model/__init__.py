"""What the policy sees, the policy as it lives (numpy, float64, its hidden state, the draw), a model's files, and the
registry of models.

Neither torch nor gradients: those are in `training`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
