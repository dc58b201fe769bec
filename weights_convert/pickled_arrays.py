"""The values that pickles of NumPy, PyTorch and Jittor build: descriptions of arrays whose bytes are read later."""

import math
import re
from typing import Any

import numpy as np

from weights_convert.pickle_machine import Refused, Stateful

_DTYPE = re.compile(r"[<>=|]?(f[248]|[iu][1248]|b1|\?)")

_MOST_AXES = 32

STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class Budget:
    """The bytes that the arrays of one file may take; a small file that unfolds into a huge one is refused."""

    def __init__(self, file_bytes: int):
        self._left = 2**28 + 32 * file_bytes

    def take(self, count: int, what: str) -> None:
        """Spends so many bytes; `what` is the value that an error speaks of."""
        self._left -= count
        if self._left < 0:
            raise Refused(f"{what} unfolds into far more bytes than the file has")


def array_from_bytes(data: bytes | memoryview, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """A contiguous array from bytes; `dtype` is NumPy's name or "bfloat16", which becomes float32 without a loss."""
    if dtype == "bfloat16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape).copy()


def itemsize(dtype: str) -> int:
    """The bytes of one number of a type, which is NumPy's name or "bfloat16"."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


class PickledDtype(Stateful):
    """numpy.dtype as a pickle gives it: a letter and a size, then the byte order."""

    def __init__(self, name: Any, *_: Any):
        self.name = name
        self.order = "<"

    def set_state(self, state: Any) -> None:
        self.order = state[1]

    def spelled(self) -> str:
        """NumPy's name of the type, with its byte order; anything but plain numbers is refused."""
        if not isinstance(self.name, str) or not _DTYPE.fullmatch(self.name) or self.order not in ("<", ">", "=", "|"):
            raise Refused(f"an array of dtype {str(self.name)[:20]!r}; weights are plain numbers")
        return np.dtype(self.name).newbyteorder(self.order).str


class PickledArray(Stateful):
    """A NumPy array or scalar as a pickle gives it."""

    def __init__(self, dtype: Any = None, data: Any = None, shape: Any = (), fortran: bool = False):
        self.dtype, self.data, self.shape, self.fortran = dtype, data, shape, fortran

    def set_state(self, state: Any) -> None:
        *_, self.shape, self.dtype, self.fortran, self.data = state

    def array(self, budget: Budget) -> np.ndarray:
        """A copy of the numbers, whose bytes are taken from the budget of the file."""
        if not isinstance(self.dtype, PickledDtype):
            raise Refused("an array without a dtype")
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data  # Python 2 wrote bytes as text
        if not isinstance(data, bytes | bytearray):
            raise Refused("an array whose content is not bytes; arrays of Python objects are refused")
        shape = whole_numbers(self.shape, "an array's shape")
        dtype = self.dtype.spelled()
        if math.prod(shape) * np.dtype(dtype).itemsize != len(data):
            raise ValueError("an array's bytes do not match its shape")
        budget.take(len(data), "an array")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if self.fortran else "C").copy()


class Storage:
    """The bytes behind one or more tensors; `data` is set when they have been read."""

    def __init__(self, dtype: str, count: int):
        self.dtype, self.count = dtype, count
        self.data: bytes | memoryview | None = None

    @property
    def nbytes(self) -> int:
        """The bytes that the storage is declared to have."""
        return self.count * itemsize(self.dtype)


class PickledTensor:
    """A PyTorch tensor: a strided view of a storage."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any):
        if not isinstance(storage, Storage):
            raise Refused("a tensor without a storage")
        self.storage = storage
        (self.offset,) = whole_numbers((offset,), "a tensor's offset")
        self.size = whole_numbers(size, "a tensor's size")
        self.stride = whole_numbers(stride, "a tensor's stride")
        if len(self.size) != len(self.stride):
            raise ValueError("a tensor's size and stride differ in length")

    def array(self, budget: Budget) -> np.ndarray:
        """A contiguous copy of the view, whose bytes are taken from the budget of the file."""
        width = itemsize(self.storage.dtype)
        count = math.prod(self.size)
        budget.take(count * width, "a tensor")
        if count == 0:
            return array_from_bytes(b"", self.storage.dtype, self.size)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.size, self.stride, strict=True))
        if last >= self.storage.count:
            raise ValueError("a tensor reaches past the end of its storage")
        span = memoryview(self.storage.data)[self.offset * width : (last + 1) * width]
        flat = array_from_bytes(span, self.storage.dtype, (last + 1 - self.offset,))
        steps = [stride * flat.itemsize for stride in self.stride]
        return np.lib.stride_tricks.as_strided(flat, self.size, steps).copy()


def whole_numbers(values: Any, what: str) -> tuple[int, ...]:
    """A tuple of integers from 0 on; what a hostile file may have put there instead is refused."""
    valid = isinstance(values, tuple | list) and len(values) <= _MOST_AXES
    if not valid or not all(type(v) is int and 0 <= v < 2**62 for v in values):
        raise Refused(f"{what} is not made of whole numbers")
    return tuple(values)


def _reconstruct(*_: Any) -> PickledArray:
    return PickledArray()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    return PickledArray(dtype, data, shape, order == "F")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    # How protocol 2 spells bytes.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("the pickle encodes text otherwise than as latin1")
    return text.encode("latin1")


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> PickledTensor:
    return PickledTensor(storage, offset, size, stride)


def _first(value: Any, *_: Any) -> Any:
    return value


def _mapping(items: Any = (), *_: Any) -> dict:
    if isinstance(items, dict):
        return items
    if isinstance(items, list | tuple) and all(isinstance(i, list | tuple) and len(i) == 2 for i in items):
        return {key: value for key, value in items if isinstance(key, str | int)}
    raise Refused("the pickle makes a mapping of something else")


def _size(values: Any = ()) -> tuple[int, ...]:
    return whole_numbers(values, "a size")


def _refuse(*_: Any) -> None:
    raise Refused("the pickle makes an array or a storage by hand")


class PickledOptions(Stateful):
    """A trainer's command line, which torchvision's saves beside the weights; nothing of it is kept."""

    def set_state(self, state: Any) -> None:
        pass


NUMPY_CALLS = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": PickledArray,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy.ndarray": _refuse,
    "numpy.dtype": PickledDtype,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _mapping,
    "jittor.jittor_core.Var": _first,
    "jittor_core.Var": _first,
}

TORCH_CALLS = {
    **NUMPY_CALLS,
    "collections.Counter": _mapping,  # a step schedule's milestones
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "argparse.Namespace": PickledOptions,
    "torch.Size": _size,
    "torch.device": _first,
    **{f"torch.{name}": _refuse for name in STORAGE_DTYPES},  # named in references, never called
}
