from .bench import measured as measured
from .refresh import run_refresh as run_refresh
