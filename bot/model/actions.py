"""The three actions, in the order of the network's outputs."""

from typing import Final

HOLD: Final = 0
BUY: Final = 1
SELL: Final = 2
ACTIONS: Final = ("hold", "buy", "sell")
