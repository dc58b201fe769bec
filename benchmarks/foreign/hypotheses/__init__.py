"""Causes that are tested: each is computed from what the layer was given, and held against what the port answered."""
