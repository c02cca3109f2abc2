"""Detrending, period search and measurement of the best event, for all stars of a shard at once."""
