"""The article's windows: what it trains on, what it leaves unseen, how long an episode is, and how many there are."""

from typing import Final

FIRST: Final = "2018-05-06T17:00"
LAST: Final = "2019-06-27T04:00"
UNSEEN: Final = "2019-12-01"
EPISODES: Final = 10_000
LENGTH: Final = 500
