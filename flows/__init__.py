"""Prefect flows: the order of work, its fan-out over a Dask cluster, and what people see of it."""
