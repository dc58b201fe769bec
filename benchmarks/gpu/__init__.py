"""What can be known of the project on a CUDA machine alone: whether the numbers are the CPU's, and how fast it is."""
