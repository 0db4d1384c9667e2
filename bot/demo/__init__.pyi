from .performance import perform as perform
from .play import Plot as Plot
from .processes import ended_by_signals as ended_by_signals
from .voice import Voice as Voice
