"""Upstream checkpoint formats -> canonical weights -> any of the three frameworks, and back. Needs no framework."""
