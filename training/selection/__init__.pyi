from .blocks import Block as Block
from .blocks import blocks_of as blocks_of
from .blocks import training_markets as training_markets
from .select import check_candles as check_candles
from .select import member_settings as member_settings
from .select import select as select
