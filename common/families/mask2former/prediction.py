"""What Mask2Former finds in images."""


def find_results(network, image, inputs, score_threshold):
    raise NotImplementedError


def results_of(settings):
    raise NotImplementedError
