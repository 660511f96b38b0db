"""The wire: an Anthropic-compatible HTTP server."""
