"""``python -m counterpoise``."""

import sys

from counterpoise.cli.app import main

sys.exit(main())
