from .single import RUIN as RUIN
from .single import BitcoinTradingEnv as BitcoinTradingEnv
from .single import frame as frame
from .timing import WORTH as WORTH
from .timing import TimingEnv as TimingEnv
from .timing import TrainingMarket as TrainingMarket
from .timing import whole as whole
from .vector import VectorTradingEnv as VectorTradingEnv
