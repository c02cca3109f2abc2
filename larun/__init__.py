"""larun: from a whole TESS sector to a ranked, traceable table of planet candidates, overnight."""

__version__ = "0.1.0"
