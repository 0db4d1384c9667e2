"""An exchange to practise on: generated candles, a loopback server that speaks Bitfinex, and faults."""
