"""`hourhand simulate`."""

from bot.simulator.command import add_arguments
from bot.simulator.command import simulate as call

__all__ = ["add_arguments", "call"]
