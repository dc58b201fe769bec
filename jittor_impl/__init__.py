"""The Jittor wing. Importing the package alone imports no framework: the loader's workers do it.

Jittor reads its environment at its first import, downloads what it misses and compiles its core; the hook below sees
to it that this works without a network, and says so when it takes minutes.
"""

import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from pkgutil import extend_path

from common.errors import UserError
from common.frameworks import before_import
from common.kernels import onednn

# A family from outside of this project has its network in a folder of this name elsewhere on Python's path.
__path__ = extend_path(__path__, __name__)

_ONEDNN_FOLDER = "dnnl_lnx_2.2.0_cpu_gomp"  # the name Jittor looks for; it takes the wheels' later version as well
_ONEDNN_PARTS = {  # the link in that folder -> the wheel, and the file that shows where the link has to point
    "include": (onednn.HEADERS, "mkldnn.hpp"),
    "lib": (onednn.LIBRARY, "libmkldnn.so"),
}
_GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
_COMPILERS = (Path("/usr/local/cuda/bin/nvcc"), Path("/opt/cuda/bin/nvcc"))


def _prepare() -> None:
    _set_environment()
    if not _compiler():
        raise UserError("Jittor compiles its operators with g++, which is not there: apt-get install g++")
    if "OMPI_COMM_WORLD_SIZE" in os.environ and not _mpi_compiler():  # mpirun's; Jittor takes it at its word
        raise UserError(
            "Jittor joins mpirun's processes with mpicc, which is not there: apt-get install libopenmpi-dev"
        )
    try:
        _cache_folder().mkdir(parents=True, exist_ok=True)
        if not os.access(_cache_folder(), os.W_OK):
            raise PermissionError
    except OSError:
        raise UserError(f"Jittor keeps what it compiles in {_cache_folder()}, which cannot be written to") from None
    if not _lay_onednn():
        # Jittor would download it. Convolutions work without, two hundred times slower; the doctor names the command.
        os.environ.setdefault("use_mkl", "0")
    if not _core_is_compiled():
        if not Path(sysconfig.get_path("include"), "Python.h").is_file():
            version = f"python3.{sys.version_info.minor}"
            raise UserError(f"Jittor compiles its core against Python.h: apt-get install {version}-dev")
        print("Jittor compiles its core, once on this machine: about three minutes", file=sys.stderr, flush=True)


def _core_is_compiled() -> bool:
    """Whether Jittor's import is a matter of a second; asked without importing it."""
    _set_environment()
    if not _compiler():
        return False
    import jittor_utils

    return any(Path(jittor_utils.cache_path).glob("**/jittor_core*.so"))  # with CUDA in a folder of its own


def _set_environment() -> None:
    # Jittor names its cache after the git branch of the folder it lies in: another branch would compile all again.
    os.environ.setdefault("cache_name", "default")
    # It would import PyTorch, which crashes in one process with it.
    os.environ.setdefault("FIX_TORCH_ERROR", "0")
    os.environ.setdefault("log_silent", "1")
    if not _cuda_is_usable():
        # An nvcc without a GPU breaks the import; a GPU without nvcc starts a download.
        os.environ.setdefault("nvcc_path", "")


def _cuda_is_usable() -> bool:
    if not any(device.exists() for device in _GPU_DEVICES):
        return False
    own = _cache_folder() / "jtcuda"  # what `python -m jittor_utils.install_cuda` installs
    return bool(shutil.which("nvcc")) or own.is_dir() or any(path.is_file() for path in _COMPILERS)


def _compiler() -> str | None:
    return os.environ.get("cc_path") or shutil.which("g++")  # noqa: SIM112 (Jittor spells it so)


def _mpi_compiler() -> str | None:
    return os.environ.get("mpicc_path") or shutil.which("mpicc")  # noqa: SIM112 (Jittor spells it so)


def _cache_folder() -> Path:
    """Finds the folder of what Jittor compiles; JITTOR_HOME holds for later processes, too, through its config.json."""
    home = os.environ.get("JITTOR_HOME")
    if home is None:
        try:
            home = json.loads((Path.home() / ".cache/jittor/config.json").read_text()).get("JITTOR_HOME")
        except (OSError, ValueError):
            home = None
    return Path(home or Path.home()).absolute() / ".cache/jittor"


def _lay_onednn() -> bool:
    """Links the installed oneDNN to where Jittor looks for it; False when it is not there in the end."""
    folder = _cache_folder() / "mkl" / _ONEDNN_FOLDER
    laid = True
    for part, (wheel, file) in _ONEDNN_PARTS.items():
        if (folder / part / file).is_file():
            continue
        source = onednn.installed_file(wheel, file)
        if source is not None:
            _link(folder / part, source.parent)
        laid = laid and (folder / part / file).is_file()
    return laid


def _link(link: Path, target: Path) -> None:
    """Points `link` to `target`; a dangling link gives way, a folder stays. Several processes may do it at once."""
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_dir() and not link.is_symlink():
            return
        temporary = link.with_name(f".{link.name}.{os.getpid()}")
        temporary.symlink_to(target, target_is_directory=True)
        temporary.replace(link)
    except OSError:
        return


before_import("jittor", "Jittor", "jittor", _prepare)
