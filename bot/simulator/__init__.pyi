from .command import add_arguments as add_arguments
from .command import simulate as simulate
from .faults import OUTAGE as OUTAGE
from .generate import generate_candles as generate_candles
from .server import LoopbackExchange as LoopbackExchange
