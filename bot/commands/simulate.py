"""`hourhand simulate`."""

from bot.simulator import add_arguments
from bot.simulator import simulate as call

__all__ = ["add_arguments", "call"]
