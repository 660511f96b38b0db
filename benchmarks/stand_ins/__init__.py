"""Scripted servers that stand in for what cannot run here, and that misbehave on demand."""
