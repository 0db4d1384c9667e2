from .charts import thinned as thinned
from .history import chosen as chosen
from .history import common as common
from .history import figures as figures
from .page import Event as Event
from .page import render_page as render_page
