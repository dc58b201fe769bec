"""Checkpoint files made to do harm: each ends in one clear line; nothing runs, and memory keeps to the file's size."""

import io
import os
import pickle
import pickletools
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from weights_convert import read_foreign
from weights_convert.torch_files import LEGACY_START
from weights_convert.writers import write_jittor, write_mindspore, write_pth

STATE = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "a.bias": np.ones(3, np.float32)}


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def touching(path: Path) -> dict[str, object]:
    """Objects that would make a file when unpickled, by the global that they use."""
    command = f"touch {path}"
    return {
        f"{os.system.__module__}.system": Calls(os.system, command),
        "builtins.eval": Calls(eval, f"open({str(path)!r}, 'w')"),
        "builtins.exec": Calls(exec, f"open({str(path)!r}, 'w')"),
        "builtins.getattr": Calls(getattr, "text", "upper"),
        "io.open": Calls(open, str(path), "w"),
    }


def pth(pickled: bytes, entries: dict[str, bytes] | None = None) -> bytes:
    """A zip as torch.save makes it around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/data.pkl", pickled)
        for name, content in (entries or {}).items():
            archive.writestr(f"w/{name}", content)
    return file.getvalue()


def legacy(pickled: bytes) -> bytes:
    return LEGACY_START + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + pickled


def tensor(
    storage: bytes = b"ctorch\nFloatStorage\n",
    key: bytes = b"0",
    count: int = 4,
    offset: int = 0,
    size: tuple = (4,),
    stride: tuple = (1,),
) -> bytes:
    """The pickle of {"w": tensor} with whatever one wants in its places."""
    reference = b"(X\x07\x00\x00\x00storage" + storage + b"X" + struct.pack("<I", len(key)) + key
    reference += b"X\x03\x00\x00\x00cpuI" + str(count).encode() + b"\ntQ"
    places = b"".join(pickletools.optimize(pickle.dumps(value, 0))[:-1] for value in (offset, size, stride))
    return b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + reference + places + b"\x89}tRs."


def refused(path: Path, content: bytes, message: str) -> str:
    """Reads the content from `path`: it must be refused in one line that names the file and says `message`."""
    path.write_bytes(content)
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(UserError) as error:
            read_foreign(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 10
    assert peak < 2**24 + 40 * len(content)
    text = str(error.value)
    assert str(path) in text and message in text
    assert len(" ".join(text.split())) < 400
    return text


WRAPPINGS = {
    "pkl": lambda value: pickle.dumps({"w": value}, 4),
    "old pkl": lambda value: pickle.dumps({"w": value}, 0),
    "pth": lambda value: pth(pickle.dumps({"w": value}, 2)),
    "legacy pth": lambda value: legacy(pickle.dumps({"w": value}, 2)),
    "jittor": lambda value: pickle.dumps({"w": value}, 4),
    "persistent id": lambda value: pth(b"\x80\x02" + pickle.dumps(value, 2)[2:-1] + b"Q."),
    "key": lambda value: b"\x80\x02}" + pickle.dumps(value, 2)[2:-1] + b"K\x01s.",
    "state": lambda value: b"\x80\x02}" + pickle.dumps(value, 2)[2:-1] + b"b.",
    "call's argument": lambda value: b"\x80\x02ccollections\nOrderedDict\n(" + pickle.dumps(value, 2)[2:-1] + b"tR.",
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_call_is_never_made(tmp_path, wrapping):
    victim = tmp_path / "victim"
    for name, value in touching(victim).items():
        text = refused(tmp_path / "w.pth", WRAPPINGS[wrapping](value), "asks for")
        assert name.replace("builtins", "").split(".")[-1] in text
        assert not victim.exists()
    # The same bytes do harm where they are unpickled plainly; so the test would see it.
    if wrapping == "pkl":
        pickle.loads(WRAPPINGS[wrapping](Calls(os.system, f"touch {victim}")))
        assert victim.exists()


def test_the_global_is_named(tmp_path):
    text = refused(tmp_path / "w.pkl", pickle.dumps({"w": Calls(os.system, "true")}), "posix.system")
    assert text == f"{tmp_path / 'w.pkl'}: refused: the pickle asks for posix.system, which is no part of a checkpoint"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"(X\x04\x00\x00\x00trueios\nsystem\n", "os.system"),  # INST
        (b"(cos\nsystem\nX\x04\x00\x00\x00trueo", "os.system"),  # OBJ
        (b"cos\nsystem\n)\x81", "os.system"),  # NEWOBJ
        (b"cos\nsystem\n)}\x92", "os.system"),  # NEWOBJ_EX
        (b"\x82\x01", "EXT1"),
        (b"\x8c\x02os\x8c\x06system\x93", "os.system"),
        (b"\x8c\x02os\x8c\x0bpath.exists\x93", "os.path.exists"),  # a dotted name reaches into what it names
        (b"ccollections\nOrderedDict.__init__.__globals__\n", "no part of a checkpoint"),
        (b"ctorch.storage\n_load_from_bytes\n", "torch.storage._load_from_bytes"),  # torch.load on bytes inside
        (b"cnumpy\nload\n", "numpy.load"),
        (b"cnumpy.core.multiarray\nfromfile\n", "fromfile"),
        (b"K\x01)R", "no function"),
        (b"X\x02\x00\x00\x00os)R", "no function"),
        (b"ccollections\nOrderedDict\nK\x01R", "no function"),
        (b"ccollections\nOrderedDict\n}X\x08\x00\x00\x00__call__K\x01sb", "state"),  # BUILD on a global
        (b"ccollections\nOrderedDict\nN}X\x01\x00\x00\x00xK\x01s\x86b", "state"),  # slots of a global
        (b"]}X\x0c\x00\x00\x00__setstate__K\x01sb", "state"),  # BUILD on a list
        (b"cnumpy\nndarray\n)R", "by hand"),
        (b"((((K\x01tttt" * 2 + b"K\x01s", "not there"),
        (b"}(K\x01K\x02t)s", "key"),  # a tuple as a key
        (b"}(K\x01u", "without a value"),
        (b"X\x01\x00\x00\x00xQ", "outside"),  # a reference where there is nothing to refer to
        (b"\x97", "NEXT_BUFFER"),
        (b"h\x05", "never remembered"),
        (b"0", "not there"),
        (b"t", "not opened"),
        (b"a", "not there"),
    ],
)
def test_other_ways_to_a_call(tmp_path, body, message):
    refused(tmp_path / "w.pkl", b"\x80\x04" + body + b".", message)


def array_pickle(state: bytes) -> bytes:
    return (
        b"\x80\x02}X\x01\x00\x00\x00wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + state
        + b"bs."
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8\x85R\x89U\x08abcdefght", "dtype 'O8'"),
        (b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4\x85R\x89](K\x01et", "Python objects"),
        (b"(K\x01K\x01\x85K\x05\x89U\x04abcdt", "without a dtype"),
        (b"(K\x01J\xff\xff\xff\xff\x85cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdt", "whole numbers"),
        (b"(K\x01\x8a\x05\x00\x00\x00\x00\x10\x85cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdt", "do not match"),
        (b"(K\x01K\x01\x85cnumpy\ndtype\nU\x16f4,(1000000000,1000)f4\x85R\x89U\x04abcdt", "dtype"),
        (b"K\x05", "damaged"),
    ],
)
def test_arrays_that_are_none(tmp_path, state, message):
    refused(tmp_path / "w.pkl", array_pickle(state), message)


HUGE = 2**40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (5,)}, "past the end"),
        ({"offset": 1}, "past the end"),
        ({"size": (2, 2), "stride": (4, 1)}, "past the end"),
        ({"offset": -1}, "whole numbers"),
        ({"size": (-4,)}, "whole numbers"),
        ({"stride": (-1,)}, "whole numbers"),
        ({"size": (4.0,)}, "whole numbers"),
        ({"size": (2, 2), "stride": (1,)}, "differ in length"),
        ({"size": (HUGE, HUGE), "stride": (0, 0)}, "far more bytes"),
        ({"size": (1,) * 1000, "stride": (0,) * 1000}, "whole numbers"),
        ({"count": HUGE}, "elements are declared"),
        ({"count": -4}, "whole numbers"),
        ({"storage": b"ctorch\nDoubleStorage\n"}, "elements are declared"),
        ({"storage": b"ctorch\nUntypedStorage\n"}, "torch.UntypedStorage"),
        ({"storage": b"K\x01"}, "unknown type"),
        ({"key": b"../../../etc/passwd"}, "lacks"),
        ({"key": b"1"}, "lacks w/data/1"),
    ],
)
def test_tensors_that_lie(tmp_path, changes, message):
    content = {"data/0": np.arange(4, dtype=np.float32).tobytes(), "byteorder": b"little"}
    (tmp_path / "good.pth").write_bytes(pth(tensor(), content))
    np.testing.assert_array_equal(read_foreign(tmp_path / "good.pth")["w"], np.arange(4))
    refused(tmp_path / "w.pth", pth(tensor(**changes), content), message)


@pytest.mark.slow
def test_small_pickles_that_unfold(tmp_path):
    # Lists of lists of lists: few bytes name 2 ** 60 elements.
    doubled = b"\x80\x04]\x94" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(60)) + b"."
    refused(tmp_path / "w.pkl", doubled, "no dictionary")
    # One long list, recalled again and again for a call that copies it.
    pairs = b"](" + b"K\x01K\x02\x86" * 5000 + b"e\x94"
    copies = b"\x80\x04" + pairs + b"(" + b"ccollections\nOrderedDict\nh\x00\x85R" * 5000 + b"t."
    refused(tmp_path / "w.pkl", copies, "far more")
    refused(tmp_path / "w.pkl", b"\x80\x04}r\xff\xff\xff\xff.", "holds no arrays")  # a memo of 4 billion places
    refused(tmp_path / "w.pkl", b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"x.", "damaged")
    refused(tmp_path / "w.pkl", b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"x.", "damaged")
    refused(tmp_path / "w.pkl", b"\x80\x04" + b"]" * 50000 + b"a" * 49999 + b".", "no dictionary")
    refused(tmp_path / "w.pkl", b"\x80\x04}" + b"K\x01" + b"\x85" * 50000 + b"K\x01s.", "key")
    refused(tmp_path / "w.pkl", b"\x80\x04I" + b"9" * 100000 + b"\n.", "damaged")


def test_zip_entries_that_lie(tmp_path):
    path = tmp_path / "w.pth"
    for name in ("../w/data/0", "/etc/passwd", "w/../../x", "..\\x"):
        file = io.BytesIO(pth(tensor()))
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(name, b"x")
        refused(path, file.getvalue(), "points outside")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", tensor())
        archive.writestr("w/data/0", bytes(2**24))
    refused(path, bomb.getvalue(), "compressed")
    twice = io.BytesIO(pth(tensor(), {"data/0": bytes(16)}))
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("w/data/0", bytes(16))
    refused(path, twice.getvalue(), "two entries")
    # The central directory says 4 GiB.
    lying = bytearray(pth(tensor(), {"data/0": bytes(16)}))
    entry = lying.rindex(b"PK\x01\x02")
    lying[entry + 24 : entry + 28] = b"\xf0\xff\xff\xff"
    refused(path, bytes(lying), "declares more")
    refused(path, pth(tensor(), {"data/0": bytes(16), "byteorder": b"big"}), "big-endian")
    refused(path, pth(tensor(), {"data/0": bytes(16), "constants.pkl": b"x"}), "TorchScript")
    no_pickle = io.BytesIO()
    with zipfile.ZipFile(no_pickle, "w") as archive:
        archive.writestr("w/other", b"x")
    refused(path, no_pickle.getvalue(), "no data.pkl")


def test_a_damaged_byte_of_a_zip_is_seen(tmp_path):
    good = pth(tensor(), {"data/0": bytes(range(16))})
    place = good.index(bytes(range(16)))
    refused(tmp_path / "w.pth", good[:place] + b"\xff" + good[place + 1 :], "CRC")


def test_npz_entries_that_lie(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, w=np.array([{"a": 1}], dtype=object))
    refused(path, path.read_bytes(), "Python objects")

    def npz(header: str) -> bytes:
        text = header.ljust(117) + "\n"
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(16))
        return file.getvalue()

    path.write_bytes(npz("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}"))
    assert read_foreign(path)["w"].shape == (4,)
    refused(path, npz(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({HUGE},)}}"), "declares more")
    refused(path, npz("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}"), "w.npz")
    refused(path, npz("__import__('os').system('true')"), "damaged")
    bomb = io.BytesIO()
    np.savez_compressed(bomb, w=np.zeros(2**26 + 2**24, np.float32))
    refused(path, bomb.getvalue(), "unfolds")


@pytest.mark.parametrize("write", [write_pth, write_jittor, write_mindspore])
def test_truncated_files(tmp_path, write):
    path = tmp_path / "whole.pth"
    write(path, STATE)
    whole = path.read_bytes()
    assert read_foreign(path).keys() == STATE.keys()
    # Jittor's checksum of 28 bytes may be missing as a whole.
    for length in {*range(1, len(whole), max(1, len(whole) // 40)), len(whole) - 1} - {len(whole) - 28}:
        refused(tmp_path / "w.pth", whole[:length], "w.pth")


def test_truncated_legacy_file(tmp_path):
    body = tensor().replace(b"cpuI4\n", b"cpuI4\nN")  # the old reference has a sixth part: no view
    whole = legacy(body) + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + np.arange(4, dtype=np.float32).tobytes()
    (tmp_path / "good.pth").write_bytes(whole)
    np.testing.assert_array_equal(read_foreign(tmp_path / "good.pth")["w"], np.arange(4))
    for length in range(len(LEGACY_START), len(whole), 3):
        refused(tmp_path / "w.pth", whole[:length], "damaged")
    refused(tmp_path / "w.pth", whole.replace(struct.pack("<q", 4), struct.pack("<q", HUGE)), "damaged")
    refused(tmp_path / "w.pth", LEGACY_START + pickle.dumps(1002, 2) + b"x", "damaged")


def test_mindspore_fields_that_lie(tmp_path):
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def checkpoint(dims: bytes, kind: bytes, content: bytes, name: bytes = b"w") -> bytes:
        return field(1, field(1, name) + field(2, dims + field(2, kind) + field(3, content)))

    path = tmp_path / "w.ckpt"
    good = checkpoint(b"\x08\x01", b"Float32", bytes(4))
    path.write_bytes(good)
    assert read_foreign(path)["w"].shape == (1,)
    refused(path, checkpoint(b"\x08\x02", b"Float32", bytes(4)), "match its shape")
    refused(path, checkpoint(b"\x08" + b"\xff" * 9 + b"\x01", b"Float32", bytes(4)), "match its shape")
    refused(path, checkpoint(b"\x08" + b"\xff" * 30, b"Float32", bytes(4)), "middle of a number")
    refused(path, checkpoint(b"\x08\x01", b"Int4", bytes(4)), "type 'Int4'")
    refused(path, good + checkpoint(b"\x08\x01", b"Float32", bytes(4), b"v") + good, "two tensors w")
    refused(path, field(1, field(1, b"w") + field(3, b"")), "map parameter")
    refused(path, b"\x0a\xff\xff\xff\xff\x0f", "middle of a tensor")


def test_random_damage_never_ends_in_a_traceback(tmp_path):
    """Any byte of a good file may be another; what comes is arrays or one line."""
    rng = np.random.default_rng(0)
    for write in (write_pth, write_jittor, write_mindspore):
        path = tmp_path / "whole.pth"
        write(path, STATE)
        whole = path.read_bytes()
        for _ in range(300):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] = rng.integers(256)
            (tmp_path / "w.pth").write_bytes(damaged)
            try:
                read_foreign(tmp_path / "w.pth")
            except UserError as error:
                assert "w.pth" in str(error)


def test_names_that_paint_on_the_terminal(tmp_path):
    path = tmp_path / "w.pkl"
    for name in ("\x1b[2J\x1b[31mowned", "two\nlines", "x" * 10000):
        text = refused(path, pickle.dumps({name: STATE["a.bias"]}), "it names an array")
        assert text.isprintable()
        text = refused(path, b"\x80\x02cos\n" + name.encode().replace(b"\n", b"") + b"\n.", "asks for os.")
        assert text.isprintable()


def test_the_attacks_are_pickles(tmp_path):
    """The hand-made pickles here are ones that Python's own machine would take up."""
    pickletools.dis(array_pickle(b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdt"), out=io.StringIO())
    pickletools.dis(tensor(), out=io.StringIO())
