"""Checks that need a CUDA machine: whether the project's numbers are the CPU's there, and how fast it is."""
