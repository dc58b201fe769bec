"""`test_wing_*` compare a wing with NumPy; which files run in one framework alone, `tests/groups.py` says."""


def pytest_ignore_collect(collection_path, config):
    if config.getoption("--framework") == "numpy" and collection_path.name.startswith("test_wing"):
        return True
    return None
