from .beside import beside as beside
from .beside import market_tables as market_tables
from .command import add_arguments as add_arguments
from .command import simulate as simulate
from .faults import OUTAGE as OUTAGE
from .generate import generate_candles as generate_candles
from .market import symbols as symbols
from .server import LoopbackExchange as LoopbackExchange
