"""Measurements; each `python -m tests.benchmarks.NAME --json` prints one JSON object as its last line."""
