"""What runs inside a peer's own environment: the standard library, the peer, and nothing else of the project."""
