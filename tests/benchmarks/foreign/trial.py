"""The small network and a faulty port of it as two dumps, which the judge reads and judges as a user has it judged."""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.foreign import Recorder
from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import Judgement, judge_dumps
from benchmarks.foreign.measure import Measure
from tests.benchmarks.foreign import small_network as net
from tests.benchmarks.foreign.faults import Fault

# The port's classes for the reference's; its layers are called by them and by numbers, as Keras calls layers.
CLASSES = {
    "preprocessing": "Normalization",
    "Conv2d": "Conv2D",
    "BatchNorm2d": "BatchNormalization",
    "FrozenBatchNorm2d": "BatchNormalization",
    "LayerNorm": "LayerNormalization",
    "GroupNorm": "GroupNormalization",
    "MaxPool2d": "MaxPooling2D",
    "AvgPool2d": "AveragePooling2D",
    "Linear": "Dense",
    "Upsample": "UpSampling2D",
    "BasicBlock": "Add",
    "Block": "Add",
}
# What such a port calls the arrays of a layer, where it keeps its channels last.
LEAVES = {"weight": "kernel", "running_mean": "moving_mean", "running_var": "moving_variance"}
LEAVES_OF_NORMS = LEAVES | {"weight": "gamma", "bias": "beta"}


def port_names(network: net.Network) -> dict[str, str]:
    """The port's name for each layer of the reference: `conv2d`, `conv2d_1`, `batch_normalization`."""
    counts: Counter[str] = Counter()
    names = {}
    for name, layer in network.items():
        class_name = CLASSES.get(layer.kind, layer.kind)
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()
        names[name] = f"{snake}_{counts[snake]}" if counts[snake] else snake
        counts[snake] += 1
    return names


class Trial:
    """The right network's dump, which is written once, and its judge.

    folder: where all dumps are written. has_parameters: whether the dumps have the parameters. keeps_channels_last:
    whether the port has its maps as (N, H, W, C), its kernels as (h, w, in, out), and other names for them.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        images: int,
        has_parameters: bool = True,
        keeps_channels_last: bool = False,
    ):
        self.network, self.parameters = net.build(), net.draw_parameters(seed)
        self.image = net.draw_image(seed, images).astype(np.float32)
        self._folder, self._has_parameters, self._is_last = folder, has_parameters, keeps_channels_last
        self._names = port_names(self.network)
        self._write_reference("reference", np.float32)
        self._write_reference("reference/float64", np.float64)
        self._reference = read_dump(folder / "reference")

    def judge(self, fault: Fault | None = None) -> Judgement:
        """What the judge says of a port with the fault, or of a right one."""
        network, parameters = dict(self.network), dict(self.parameters)
        if fault is not None:
            fault.plant(network, parameters)
        self._write_port("port", network, parameters)
        return judge_dumps(self._reference, read_dump(self._folder / "port"), Measure(self._reference))

    def _write_reference(self, name: str, dtype: type) -> None:
        record = self._record(name, self.parameters, dtype)
        for layer, array in net.run(self.network, self.parameters, self.image, dtype).items():
            record.layer(layer, array, self.network[layer].kind)

    def _write_port(self, name: str, network: net.Network, parameters: net.Arrays) -> None:
        record = self._record(name, dict(map(self._as_port, parameters.items())))
        for layer, array in net.run(network, parameters, self.image).items():
            kind = network[layer].kind
            given = array.transpose(0, 2, 3, 1) if self._is_last and array.ndim == 4 else array
            record.layer(self._names[layer], given, CLASSES.get(kind, kind))

    def _record(self, name: str, parameters: net.Arrays, dtype: type = np.float32) -> Recorder:
        given = {"image": self.image.astype(dtype)}
        return Recorder(self._folder / name, given, parameters if self._has_parameters else None, "numpy")

    def _as_port(self, parameter: tuple[str, np.ndarray]) -> tuple[str, np.ndarray]:
        """A parameter by the port's name, and as the port keeps it."""
        (owner, _, leaf), array = parameter[0].rpartition("."), parameter[1]
        if self._is_last:
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T if leaf == "weight" else array
            leaf = (LEAVES_OF_NORMS if "norm" in owner else LEAVES).get(leaf, leaf)
        return f"{self._names[owner]}.{leaf}", array
