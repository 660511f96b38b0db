"""Other caches and proxies, measured in the same run as ours: each in an environment and processes of its own."""
