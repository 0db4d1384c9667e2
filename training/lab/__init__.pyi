from .bench import run_benchmark as run_benchmark
from .bounds import PLANTED as PLANTED
from .bounds import judged as judged
from .bounds import measure_bounds as measure_bounds
from .bounds import regimes as regimes
from .bounds import shuffled as shuffled
from .refresh import run_refresh as run_refresh
