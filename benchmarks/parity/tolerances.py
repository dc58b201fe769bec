"""How far a right implementation's array may lie from the reference's: as far as rounding moves the reference itself.

Two things are measured, for each array by itself. Rounding: the reference in float32 against itself in float64. And
kinks: a value that lies within rounding of a ReLU's zero, of a rank or of a threshold falls on either side of it, and
what depends on it leaps. That is rare in one run and is another value in the next, so the reference runs again with
weights and images perturbed at random by FACTOR roundings: what can leap does so FACTOR times as often.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.parity.difference import Scale, difference, measure_scale
from benchmarks.parity.finding import Difference, Mode, Tolerance
from common.files import atomic_path
from common.results import Comparison

# Two right float32 implementations differ from one another more than either differs from float64: they sum in another
# order, choose another algorithm (Winograd, FFT, a fused multiply-add), and the error measured is one draw of many.
FACTOR = 16.0

# Perturbed runs show what FACTOR times the rounding does. Both sides may leap, and few runs show the largest leap.
PERTURBED_FACTOR = 4.0

# Where the reference happens to be exact (a copy, a ReLU, a sum of two) the measured error is zero. 64 units in the
# last place of float32 are left for an implementation that rounds on the way: MindSpore's tanh alone takes 27.
UNIT = 2.0**-23
FLOOR = 64 * UNIT
# A gradient is a sum over rows or positions: a thousand equal terms, added one after another, are 110 units off.
SUM_FLOOR = 512 * UNIT
LEAST = Tolerance(0.0, 0.0, FLOOR, FLOOR)

# A difference that may be larger than this tells nothing about an implementation.
MOST = 0.05
UNBOUNDED = math.inf  # the tolerance of a figure by which nothing can be told

# Of booleans and whole numbers so many may be others, whatever was measured: they are decided at a threshold.
FEW = 4


@dataclass(frozen=True)
class Noise:
    """The reference's own error of one array, in the array's units: against float64, and of perturbed runs.

    scale: of the array itself. sum_scale: of the array called `sum_name`, of whose scale it would be if its terms did
    not cancel; None where there is no such array. is_discrete: whether it has booleans or whole numbers.
    """

    scale: Scale
    size: int
    is_discrete: bool = False
    sum_name: str = ""
    sum_scale: Scale | None = None
    rounding: tuple[float, float] = (0.0, 0.0)  # the largest error, and the root of the mean square
    perturbed: tuple[float, float] = (0.0, 0.0)

    def relative(self, scale: Scale) -> tuple[Difference, Difference]:
        """`rounding` and `perturbed` relative to a scale."""
        rounding, perturbed = (
            Difference(largest / scale.largest, rms / scale.rms, math.nan, math.nan)
            for largest, rms in (self.rounding, self.perturbed)
        )
        return rounding, perturbed


@dataclass(frozen=True)
class Allowed:
    """The tolerance for an array, what it is relative to, and the name of that where it is not the array itself."""

    tolerance: Tolerance
    scale: Scale | None = None
    scale_of: str = ""

    @property
    def can_tell(self) -> bool:
        """Whether one figure at least is bounded."""
        return min(self.tolerance.largest, self.tolerance.frobenius) < UNBOUNDED


class Tolerances:
    """What was measured of the reference, by gate, mode, step and name."""

    def __init__(self, noises: Mapping[str, Noise] | None = None):
        self._noises: dict[str, Noise] = dict(noises or {})

    @staticmethod
    def key(gate: int, name: str, mode: Mode = "accumulated", step: int | None = None) -> str:
        return f"{gate}/{mode}/{step}/{name}"

    def measure_rounding(
        self, key: str, exact: np.ndarray, rounded: np.ndarray, sum_of: tuple[str, np.ndarray] | None = None
    ) -> None:
        """Keeps the error of an array against itself in float64.

        sum_of: the name and the array whose scale it is held against where it is zero but for rounding.
        """
        self._keep(key, "rounding", rounded, exact, sum_of)

    def measure_perturbed(
        self, key: str, perturbed: np.ndarray, rounded: np.ndarray, sum_of: tuple[str, np.ndarray] | None = None
    ) -> None:
        """Keeps the difference of a perturbed run from the reference where it is larger than that of earlier ones."""
        self._keep(key, "perturbed", rounded, perturbed, sum_of)

    def share(self, key: str, other: str) -> None:
        """Gives what was measured under one key to another key of the same array."""
        if key in self._noises:
            self._noises.setdefault(other, self._noises[key])

    def join_steps(self, gate: int, mode: Mode) -> None:
        """Gives each array, in each step, the most that was measured in any step, relative to its scale there.

        A leap that came in one step comes in another step of another implementation.
        """
        by_name: dict[str, list[str]] = {}
        for key in self._noises:
            if key.startswith(f"{gate}/{mode}/"):
                by_name.setdefault(key.split("/", 3)[3], []).append(key)
        for keys in by_name.values():
            for field in ("rounding", "perturbed"):
                shares = [_shares(getattr(self._noises[key], field), self._noises[key].scale) for key in keys]
                largest, rms = (max(share) for share in zip(*shares, strict=True))
                for key in keys:
                    scale = self._noises[key].scale
                    joined = {field: (largest * scale.largest, rms * scale.rms)}
                    self._noises[key] = replace(self._noises[key], **joined)

    def allowed(self, key: str, floor: tuple[float, float] = (0.0, 0.0)) -> Allowed:
        """The tolerance for the array of a key; the least there is for one of which nothing was measured.

        floor: what is allowed of `largest` and `frobenius` in any case.
        """
        noise = self._noises.get(key)
        if noise is None:
            return Allowed(_bounded(replace(LEAST, largest=max(FLOOR, floor[0]), frobenius=max(FLOOR, floor[1]))))
        own = Allowed(_bounded(_tolerance(noise, noise.scale, floor)))
        if noise.sum_scale is None or own.tolerance.largest < UNBOUNDED:
            return own
        as_sum = Allowed(_bounded(_tolerance(noise, noise.sum_scale, floor)), noise.sum_scale, noise.sum_name)
        return as_sum if as_sum.can_tell and not own.can_tell else own

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({key: asdict(noise) for key, noise in self._noises.items()}))

    @staticmethod
    def load(path: Path) -> "Tolerances":
        """What was saved; nothing measured where there is no such file."""
        if not path.exists():
            return Tolerances()
        return Tolerances({key: _noise(values) for key, values in json.loads(path.read_text()).items()})

    def _keep(
        self, key: str, field: str, rounded: np.ndarray, other: np.ndarray, sum_of: tuple[str, np.ndarray] | None
    ) -> None:
        noise = self._noises.get(key) or _describe(rounded, sum_of)
        error = _error(rounded, other, noise.scale)
        before = getattr(noise, field)
        self._noises[key] = replace(noise, **{field: (max(before[0], error[0]), max(before[1], error[1]))})


def threshold_floor(pair: Comparison) -> tuple[float, float]:
    """The change that rounding may cause in values decided at a threshold: (largest, frobenius), as in `Difference`.

    With a step s that a share p of the N values x may take: s / max|x| and s sqrt(p N) / ||x||.
    """
    if not pair.step or not pair.reference.any():
        return 0.0, 0.0
    largest, norm = np.abs(pair.reference).max(), np.linalg.norm(pair.reference)
    return pair.step / largest, pair.step * np.sqrt(pair.share * pair.reference.size) / norm


def _describe(array: np.ndarray, sum_of: tuple[str, np.ndarray] | None) -> Noise:
    array = np.asarray(array)
    name, summed = sum_of or ("", None)
    return Noise(
        measure_scale(array),
        array.size,
        array.dtype.kind in "biu",
        name,
        None if summed is None else measure_scale(summed),
    )


def _error(rounded: np.ndarray, other: np.ndarray, scale: Scale) -> tuple[float, float]:
    """The largest error and the root of the mean square; infinite where the two cannot be compared."""
    if np.shape(rounded) != np.shape(other):
        return math.inf, math.inf
    found = difference(rounded, other, 0.0, scale)
    return found.largest * scale.largest, found.frobenius * scale.rms


def _shares(error: tuple[float, float], scale: Scale) -> tuple[float, float]:
    return error[0] / scale.largest, error[1] / scale.rms


def _tolerance(noise: Noise, scale: Scale, floor: tuple[float, float]) -> Tolerance:
    """FACTOR times the rounding or PERTURBED_FACTOR times the perturbed runs' error, but at least the floors."""
    rounding, perturbed = noise.relative(scale)
    measured = max(rounding.largest, perturbed.largest), max(rounding.frobenius, perturbed.frobenius)
    if noise.is_discrete:
        # What counts is how many are others; the root of the mean square grows with the root of their number.
        few = math.sqrt(FEW / max(noise.size, 1)) / scale.rms
        return Tolerance(*measured, 1.0, max(math.sqrt(FACTOR) * measured[1], few, floor[1]))
    largest, frobenius = (
        max(FACTOR * of_rounding, PERTURBED_FACTOR * of_perturbed, FLOOR, least)
        for of_rounding, of_perturbed, least in (
            (rounding.largest, perturbed.largest, floor[0]),
            (rounding.frobenius, perturbed.frobenius, floor[1]),
        )
    )
    return Tolerance(*measured, largest, frobenius)


def _bounded(tolerance: Tolerance) -> Tolerance:
    """The tolerance, without a bound for a figure by which nothing can be told."""
    largest, frobenius = (each if each <= MOST else UNBOUNDED for each in (tolerance.largest, tolerance.frobenius))
    return replace(tolerance, largest=largest, frobenius=frobenius)


def _noise(values: dict) -> Noise:
    """A noise of its values as JSON has them."""
    scales = {name: values[name] and Scale(**values[name]) for name in ("scale", "sum_scale")}
    pairs = {name: tuple(values[name]) for name in ("rounding", "perturbed")}
    return Noise(**values | scales | pairs)
