"""Makes the samples of Mask2Former."""
