"""Chooses the files: `test_wing_*` compare a wing with NumPy, `test_NAME_*` run in the framework NAME alone."""

FRAMEWORKS = ("torch", "jittor", "mindspore")


def pytest_ignore_collect(collection_path, config):
    framework = config.getoption("--framework")
    if framework == "numpy" and collection_path.name.startswith("test_wing"):
        return True
    others = tuple(f"test_{name}_" for name in FRAMEWORKS if name != framework)
    return True if collection_path.name.startswith(others) else None
