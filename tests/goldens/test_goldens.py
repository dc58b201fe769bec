"""Every golden case of tests/goldens, or of the folder that the environment variable GOLDENS names."""

import json
import os
from pathlib import Path

import pytest

from tests.goldens import runner

FOLDER = Path(os.environ.get("GOLDENS", Path(__file__).parent))
CASES = sorted(manifest.parent for manifest in FOLDER.glob("*/manifest.json"))


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        framework = metafunc.config.getoption("--framework")
        cases = [case for case in CASES if runner.concerns(case, framework)]
        metafunc.parametrize("case", [pytest.param(case, marks=_marks(case), id=case.name) for case in cases])


def _marks(case: Path) -> list[pytest.MarkDecorator]:
    """A whole network at its real size is slow; operators and the tiny networks are not."""
    kind = json.loads((case / "manifest.json").read_text())["kind"]
    is_whole = kind.endswith(("_forward", "pose2seg_loss", "point_rend_loss"))
    return [pytest.mark.slow] if is_whole and not case.name.endswith("_tiny") else []


@pytest.mark.compiled
def test_golden_case(case: Path, framework: str, device_name: str, xp, like, tmp_path: Path):
    distances = runner.hold(case, framework, device_name, xp, like, tmp_path)
    assert distances, "the case holds no output"


def test_there_are_cases():
    assert CASES, f"no golden case in {FOLDER}"
