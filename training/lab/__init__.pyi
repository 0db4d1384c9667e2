from .bench import run_benchmark as run_benchmark
from .refresh import run_refresh as run_refresh
