"""Print the default configuration: ``python -m larun.config > data/larun.toml``."""

import sys

from larun.config.listing import default_toml

sys.stdout.write(default_toml())
