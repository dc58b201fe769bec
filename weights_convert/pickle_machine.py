"""Reads a pickle without running it.

A pickle is a program for a small stack machine, and Python's own machine calls whatever the program names. This one
takes the opcodes apart with the standard library's `pickletools` and knows only plain values, containers and the calls
in the table it is given; everything else ends the reading. No object is ever imported, and what it builds stays in
proportion to the bytes it reads.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

# Functions by the name that a pickle knows them under: "module.name".
Calls = Mapping[str, Callable[..., Any]]

_MARK = object()
_PLAIN = (str, bytes, int, float, bool, type(None))
_CONSTANTS = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_IGNORED = {"PROTO", "FRAME", "STOP"}


class Refused(ValueError):
    """The pickle asks for something that a checkpoint has no use for."""


class Name:
    """A global that the pickle may mention: it can be called, and nothing else."""

    def __init__(self, path: str, call: Callable[..., Any]):
        self.path, self.call = path, call


class PickleMachine:
    """Runs one pickle from `stream`, which then stands behind its last byte.

    `calls` are the globals it may name; `persistent` answers its references to what lies outside the pickle; `size`
    is how many bytes it may have.
    """

    def __init__(self, stream: BinaryIO, calls: Calls, size: int, persistent: Callable[[Any], Any] | None = None):
        self._stream, self._calls, self._persistent = stream, calls, persistent
        # A call may copy its arguments, and a few bytes can recall a long list for it again and again.
        self._may_copy = 2**16 + 2 * size
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value that the pickle builds."""
        # The last opcode that genops gives is STOP; without one it raises.
        for opcode, argument, _ in pickletools.genops(self._stream):
            self._step(opcode.name, argument)
        return self._pop()

    def _step(self, opcode: str, argument: Any) -> None:
        if opcode in _LITERALS:
            self._stack.append(argument)
        elif opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode])
        elif opcode not in _IGNORED:
            method = getattr(self, f"_op_{opcode.lower()}", None)
            if method is None:
                raise Refused(f"the pickle uses {opcode}, which no checkpoint does")
            method(argument)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("the pickle takes a value that is not there")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        for position in range(len(self._stack) - 1, -1, -1):
            if self._stack[position] is _MARK:
                values = self._stack[position + 1 :]
                del self._stack[position:]
                return values
        raise ValueError("the pickle closes what it has not opened")

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise ValueError(f"the pickle fills a {kind.__name__} that is not there")
        return self._stack[-1]

    def _op_mark(self, _: None) -> None:
        self._stack.append(_MARK)

    def _op_pop(self, _: None) -> None:
        if not self._stack:
            raise ValueError("the pickle takes a value that is not there")
        self._stack.pop()

    def _op_pop_mark(self, _: None) -> None:
        self._pop_to_mark()

    def _op_dup(self, _: None) -> None:
        value = self._pop()
        self._stack += [value, value]

    # Containers

    def _op_tuple(self, _: None) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _op_tuple1(self, _: None) -> None:
        self._stack.append((self._pop(),))

    def _op_tuple2(self, _: None) -> None:
        second, first = self._pop(), self._pop()
        self._stack.append((first, second))

    def _op_tuple3(self, _: None) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._stack.append((first, second, third))

    def _op_empty_list(self, _: None) -> None:
        self._stack.append([])

    def _op_list(self, _: None) -> None:
        self._stack.append(self._pop_to_mark())

    def _op_append(self, _: None) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _op_appends(self, _: None) -> None:
        values = self._pop_to_mark()
        self._top(list).extend(values)

    def _op_empty_dict(self, _: None) -> None:
        self._stack.append({})

    def _op_dict(self, _: None) -> None:
        self._stack.append(_filled({}, self._pop_to_mark()))

    def _op_setitem(self, _: None) -> None:
        value, key = self._pop(), self._pop()
        _filled(self._top(dict), [key, value])

    def _op_setitems(self, _: None) -> None:
        values = self._pop_to_mark()
        _filled(self._top(dict), values)

    def _op_empty_set(self, _: None) -> None:
        self._stack.append(set())

    def _op_additems(self, _: None) -> None:
        values = self._pop_to_mark()
        self._top(set).update(_plain(value) for value in values)

    def _op_frozenset(self, _: None) -> None:
        self._stack.append(frozenset(_plain(value) for value in self._pop_to_mark()))

    # The memo

    def _op_memoize(self, _: None) -> None:
        self._op_put(len(self._memo))

    def _op_put(self, index: int) -> None:
        self._memo[index] = self._top(object)

    _op_binput = _op_long_binput = _op_put

    def _op_get(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError(f"the pickle recalls {index}, which it never remembered")
        self._stack.append(self._memo[index])

    _op_binget = _op_long_binget = _op_get

    # What a pickle could do harm with

    def _op_global(self, path: str) -> None:
        module, _, name = path.partition(" ")
        self._stack.append(self._named(module, name))

    def _op_stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("the pickle names a global by something that is no text")
        self._stack.append(self._named(module, name))

    def _op_inst(self, path: str) -> None:
        module, _, name = path.partition(" ")
        arguments = tuple(self._pop_to_mark())
        self._stack += [self._named(module, name), arguments]
        self._op_reduce(None)

    def _op_reduce(self, _: None) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Refused("the pickle calls something that is no function")
        self._may_copy -= sum(len(a) for a in arguments if isinstance(a, str | bytes | list | tuple))
        if self._may_copy < 0:
            raise Refused("the pickle unfolds into far more than the file has")
        self._stack.append(function.call(*arguments))

    _op_newobj = _op_reduce

    def _op_build(self, _: None) -> None:
        state = self._pop()
        target = self._top(object)
        if isinstance(target, dict):
            return  # PyTorch hangs versions of modules on a state dict; they say nothing of the weights.
        if not isinstance(target, Stateful):
            raise Refused("the pickle changes the state of something that has none")
        target.set_state(state)

    def _op_binpersid(self, _: None) -> None:
        if self._persistent is None:
            raise Refused("the pickle refers to something outside of itself")
        self._stack.append(self._persistent(self._pop()))

    def _named(self, module: str, name: str) -> Name:
        # NumPy 2 renamed the package; both write pickles that the other reads.
        path = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if path not in self._calls:
            raise Refused(f"the pickle asks for {path}, which is no part of a checkpoint")
        return Name(path, self._calls[path])


class Stateful:
    """Something that a pickle builds in two steps: a call, then its state."""

    def set_state(self, state: Any) -> None:
        """Takes the state that the pickle gives."""
        raise NotImplementedError


def _plain(value: Any) -> Any:
    # A key of nested tuples would be hashed by recursion, to any depth the file likes.
    if not isinstance(value, _PLAIN):
        raise Refused(f"the pickle uses a {type(value).__name__} as a key")
    return value


def _filled(target: dict, values: list[Any]) -> dict:
    if len(values) % 2:
        raise ValueError("the pickle gives a key without a value")
    target.update((_plain(key), value) for key, value in zip(values[::2], values[1::2], strict=True))
    return target
