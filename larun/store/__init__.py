"""The survey root: sector stores (Zarr), tables (Parquet) and the pointer to what is published."""
