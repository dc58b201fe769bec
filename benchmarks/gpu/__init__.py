"""Checks that need a CUDA machine: whether the numbers are the CPU's, and how fast the project is."""
