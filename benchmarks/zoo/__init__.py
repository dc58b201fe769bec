"""The originals' published weights, rated here beside the figures that their authors give."""
