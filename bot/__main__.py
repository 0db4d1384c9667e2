"""`python -m bot` is `hourhand`."""

import sys

from bot.cli import main

sys.exit(main())
