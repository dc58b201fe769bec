"""The judge's comparison of the small network with a faulty one: the first layer that departs, and its causes."""

from collections.abc import Mapping

import numpy as np

from benchmarks.foreign.hypotheses.evidence import gather
from benchmarks.foreign.hypotheses.explain import explain
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances
from tests.benchmarks.foreign import small_network as net
from tests.benchmarks.foreign.faults import Fault

GATE = 1


class Reference:
    """The right network with its layers in float32 and the tolerances that float64 gives."""

    def __init__(self, seed: int, images: int):
        self.network, self.parameters = net.build(), net.draw_parameters(seed)
        self.image = net.draw_image(seed, images)
        self.layers = net.run(self.network, self.parameters, self.image)
        self.tolerances = Tolerances()
        for name, exact in net.run(self.network, self.parameters, self.image, np.float64).items():
            self.tolerances.measure_rounding(Tolerances.key(GATE, name), exact, self.layers[name])

    def plant(self, fault: Fault) -> net.Arrays:
        """The layers of the network with the fault."""
        network, parameters = dict(self.network), dict(self.parameters)
        fault.plant(network, parameters)
        return net.run(network, parameters, self.image)

    def first_departure(self, port: Mapping[str, np.ndarray], has_parameters: bool = True) -> Finding | None:
        """The first layer that departs, explained; has_parameters: whether the reference's are in its dump."""
        judge, names = Judge(self.tolerances), list(self.layers)
        for name in names:
            kind = self.network[name].kind
            finding = judge(GATE, name, kind, self.layers[name], port.get(name))
            if finding.failed and name not in port:
                return finding
            if finding.failed:
                known, inputs = self.parameters if has_parameters else {}, {"image": self.image.astype(np.float32)}
                own = (self.layers[name], port[name])
                return explain(finding, gather(finding, *own, names, self.layers.get, inputs, known))
        return None
