"""The models' speed in each framework, as ratios to PyTorch's."""
