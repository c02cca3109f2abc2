"""Trains the plain network of conftest.py below a root, under the backend of KERAS_BACKEND; says how it ended."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pretend import PLAIN, pretend_data

from larun.config import Settings
from larun.errors import LarunError
from larun.network import fit

fit.training_views = lambda *_: pretend_data()
try:
    fit.train(Settings(root=sys.argv[1], **PLAIN))
except LarunError as error:
    sys.stdout.write(f"{type(error).__name__}: {error}")
