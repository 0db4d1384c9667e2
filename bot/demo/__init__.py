"""The demo: a daemon's two weeks in less than a minute, offline, with what can go wrong in them."""
