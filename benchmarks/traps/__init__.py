"""Synthetic pairs: hard negatives ("traps") and light rewrites of any question; `sampling` puts them together."""
