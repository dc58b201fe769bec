"""oneDNN as its wheels bring it: where it lies, and what is compiled against it for MindSpore."""

from pathlib import Path

from common.kernels.compiling import compile_library

LIBRARY, HEADERS = "onednn-cpu-gomp", "onednn-devel-cpu-gomp"  # the wheels
INSTALLATION = f"pip install {LIBRARY}==2021.4.0 {HEADERS}==2021.4.0"


def installed_file(wheel: str, name: str) -> Path | None:
    """The place of a wheel's file; these wheels put theirs beside Python's own, not into site-packages."""
    from importlib import metadata  # slow to import, and needed once on a machine

    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        return None
    found = next((Path(entry.locate()).resolve() for entry in files if entry.name == name), None)
    return found if found is not None and found.is_file() else None


def compiled() -> Path | str:
    """The library of `onednn.cpp`, or in one line why it cannot be had."""
    library, header = installed_file(LIBRARY, "libdnnl.so"), installed_file(HEADERS, "mkldnn.hpp")
    if library is None or header is None:
        return f"{LIBRARY} and {HEADERS} are not installed"
    folder = str(library.parent)
    return compile_library("onednn", (f"-I{header.parent}", f"-L{folder}", "-ldnnl", f"-Wl,-rpath,{folder}"))
