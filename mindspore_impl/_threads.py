"""Sends MindSpore's idle threads to sleep at once.

Before they sleep they ask 300 000 times whether there is work, for a tenth of a second and after each operation, on the
cores that this project's kernels and oneDNN compute on by then: a training step takes a fifth longer. MindSpore has no
setting for it, but its library exports the functions. Where they are not as in the version that was tested,
nothing is changed.
"""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms

# The names as the compiler writes them: ActorMgr::actorMgr, the virtual functions of ActorThreadPool, and three
# functions of a pool.
_MANAGER = "_ZN9mindspore8ActorMgr8actorMgrE"
_VIRTUAL_FUNCTIONS = "_ZTVN9mindspore15ActorThreadPoolE"
_SET_MOST = "_ZN9mindspore10ThreadPool15SetMaxSpinCountEi"
_TAKE_MOST = "_ZN9mindspore10ThreadPool20SetSpinCountMaxValueEv"
_SET_MOST_OF_KERNELS = "_ZN9mindspore10ThreadPool27SetKernelThreadMaxSpinCountEi"
_WORD = ctypes.sizeof(ctypes.c_void_p)
_WORDS = 64  # of the manager in which its pool is looked for


def stop_spinning() -> bool:
    """Lets the threads of MindSpore's pool ask once; False where the pool is not found.

    There is a pool from MindSpore's first operation on.
    """
    try:
        core = ctypes.CDLL(str(Path(ms.__file__).parent / "lib" / "libmindspore_core.so"))
        manager, functions = (_address_of(core, name) for name in (_MANAGER, _VIRTUAL_FUNCTIONS))
        set_most, take_most, set_most_of_kernels = (
            getattr(core, name) for name in (_SET_MOST, _TAKE_MOST, _SET_MOST_OF_KERNELS)
        )
    except (OSError, ValueError, AttributeError):
        return False
    # An object with virtual functions begins with the address of their table, behind its head of two words.
    pools = [pool for pool in _pointers(manager) if _word_at(pool) == functions + 2 * _WORD]
    for pool in pools:
        set_most(ctypes.c_void_p(pool), 1)
        take_most(ctypes.c_void_p(pool))
        set_most_of_kernels(ctypes.c_void_p(pool), 1)
    return bool(pools)


def _address_of(library: ctypes.CDLL, name: str) -> int:
    return ctypes.addressof(ctypes.c_char.in_dll(library, name))


def _pointers(start: int) -> Iterator[int]:
    """The words of an object that are addresses of memory that this process may read."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights = line.split()[:2]
        if rights.startswith("r"):
            ranges.append([int(end, 16) for end in span.split("-")])
    for place in range(start, start + _WORDS * _WORD, _WORD):
        word = _word_at(place)
        if word % _WORD == 0 and any(first <= word and word + _WORD <= last for first, last in ranges):
            yield word


def _word_at(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value
