"""Holds two dumps against each other that were made anywhere, in whatever framework."""
