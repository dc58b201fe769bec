"""oneDNN's wheels: what is compiled against them, and what is said where they are missing."""

from pathlib import Path

from common.kernels import onednn


def test_the_convolutions_are_compiled_once():
    first = onednn.compiled()
    assert isinstance(first, Path) and first.is_file(), first
    assert onednn.compiled() == first


def test_missing_wheels_are_named(monkeypatch):
    monkeypatch.setattr(onednn, "LIBRARY", "onednn-of-nobody")
    assert onednn.compiled() == "onednn-of-nobody and onednn-devel-cpu-gomp are not installed"
