"""``python -m synthface``."""

import sys

from synthface.cli import main

sys.exit(main())
