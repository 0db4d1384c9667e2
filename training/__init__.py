"""Offline: candles, environments, training and evaluation. Imports `bot`; `bot` never imports this."""
