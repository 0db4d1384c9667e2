from .charts import thinned as thinned
from .history import account_statistics as account_statistics
from .history import align_histories as align_histories
from .history import read_histories as read_histories
from .page import Event as Event
from .page import render_page as render_page
