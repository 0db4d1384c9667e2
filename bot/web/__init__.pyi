from .server import check_address as check_address
from .server import serve as serve
