"""Catalogues of what is known about stars: where each comes from, its snapshots in the store, and matching."""
