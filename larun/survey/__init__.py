"""What happens to one shard: ingest, sweep, sensitivity."""
