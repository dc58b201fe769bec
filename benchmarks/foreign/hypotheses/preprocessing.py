"""The normalisation of the picture: its mean, its deviation and the order of its colours."""

from collections.abc import Iterator

import numpy as np

from benchmarks.foreign.hypotheses.evidence import SAME, Evidence, Hypothesis, left_by
from benchmarks.parity.channels import channels_of, energy, fit_lines

_PIXELS = 255.0


def preprocessing_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Other normalisations of the picture, once lines by colour are known to give the reference from it."""
    reference = np.asarray(evidence.reference, np.float64)
    for _, x in evidence.inputs():
        if x.shape != reference.shape or x.ndim != 4 or x.shape[1] != 3:
            continue
        slope, intercept = (line.reshape(3, 1, 1) for line in fit_lines(channels_of(x, 1), channels_of(reference, 1)))
        if left_by(reference, slope * x + intercept, energy(reference)) < SAME and np.all(slope):
            mean = -intercept / slope
            yield Hypothesis("the colours are read in the other order: BGR for RGB", slope * x[:, ::-1] + intercept)
            yield Hypothesis("the colours change places after the normalisation: BGR for RGB", reference[:, ::-1])
            yield Hypothesis("the mean is not subtracted", slope * x)
            yield Hypothesis("the mean is in the order of BGR for RGB", slope * (x - mean[::-1]))
            yield Hypothesis("the deviation is in the order of BGR for RGB", slope[::-1] * (x - mean))
            yield Hypothesis("mean and deviation are in the order of BGR for RGB", slope[::-1] * (x - mean[::-1]))
            yield Hypothesis("pixels of 0..255 where the reference has 0..1", slope * _PIXELS * x + intercept)
            yield Hypothesis("pixels of 0..1 where the reference has 0..255", slope / _PIXELS * x + intercept)
            other = np.asarray(evidence.other, np.float64)
            centred = x - mean
            scale = float(np.vdot(centred, other)) / max(energy(centred), 1e-300)
            yield Hypothesis("the deviation is not divided by, or one for all colours", scale * centred)
            return
