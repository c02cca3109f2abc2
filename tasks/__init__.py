"""Prefect tasks: each a call into larun, with retries, a timeout and tags."""
