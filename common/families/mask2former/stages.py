"""Every named stage of Mask2Former."""

def run_stages(network, image, inputs):
    raise NotImplementedError
