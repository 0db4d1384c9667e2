from .narrator import Narrator as Narrator
from .processes import ended_by_signals as ended_by_signals
from .run import run_demo as run_demo
from .scenario import Scenario as Scenario
