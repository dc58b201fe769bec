"""The page's heading: what was compared, with which versions, when and where."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.machine import commit, describe_machine, package_version
from common.weights import file_sha256

SHORT_HASH = 12  # digits on screen


@dataclass(frozen=True)
class Heading:
    """The facts at the head of a page; one that is None or empty is left out.

    title: the model, or the names of the two dumps. weights: a file's name, or "drawn". weights_sha256: of the
        weights' file, in full. versions: by package.
    """

    title: str
    weights: str = ""
    weights_sha256: str = ""
    data: str = ""
    batch_size: int | None = None
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = field(default_factory=describe_machine)
    date: str = field(default_factory=lambda: datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"))

    def facts(self) -> list["Fact"]:
        """The facts in their order, without the title."""
        short = self.weights_sha256[:SHORT_HASH]
        weights = f"{self.weights}, sha256 {short}" if short else self.weights
        versions = "; ".join(f"{name} {version}" for name, version in self.versions.items())
        batch_size, seed = (None if value is None else str(value) for value in (self.batch_size, self.seed))
        facts = [
            Fact("weights", weights, f"sha256 {self.weights_sha256}" if short else ""),
            Fact("data", self.data),
            Fact("batch size", batch_size or ""),
            Fact("seed", seed or ""),
            Fact("versions", versions),
            Fact("machine", self.machine),
            Fact("date", self.date),
        ]
        return [fact for fact in facts if fact.text]


@dataclass(frozen=True)
class Fact:
    """A line of the heading. full: what does not fit on screen, shown where one points at the line."""

    name: str
    text: str
    full: str = ""


def versions_of(frameworks: Iterable[str]) -> dict[str, str]:
    """The versions of TriSeg, Python, NumPy and the frameworks among these names."""
    project = " at ".join(filter(None, (package_version("triseg"), commit())))
    versions = {"TriSeg": project, "Python": platform.python_version(), "NumPy": package_version("numpy")}
    for framework in frameworks:
        if framework in FRAMEWORKS:
            versions[framework] = package_version(framework) or "not installed"
    return {name: version for name, version in versions.items() if version}


def sha256_of(path: Path) -> str:
    """The hash of a file; empty where there is no such file."""
    return file_sha256(path) if path.is_file() else ""
