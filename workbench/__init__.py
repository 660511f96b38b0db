"""A notebook-driven workbench: a semantic cache in front of self-hosted LLMs."""
