from .single import RUIN as RUIN
from .single import BitcoinTradingEnv as BitcoinTradingEnv
from .single import frame as frame
from .vector import VectorTradingEnv as VectorTradingEnv
