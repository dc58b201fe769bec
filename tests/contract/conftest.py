"""NumPy is the reference: what compares a wing with it runs for the wings, what concerns one of them alone for that."""

ALONE = ("torch", "jittor", "mindspore")


def pytest_ignore_collect(collection_path, config):
    framework = config.getoption("--framework")
    if framework == "numpy" and collection_path.name.startswith("test_wing"):
        return True
    others = tuple(f"test_{name}_" for name in ALONE if name != framework)
    return True if collection_path.name.startswith(others) else None
