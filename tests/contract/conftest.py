"""NumPy is the reference: what compares a wing with it runs for the wings, what concerns PyTorch alone for PyTorch."""


def pytest_ignore_collect(collection_path, config):
    framework = config.getoption("--framework")
    if framework == "numpy" and collection_path.name.startswith("test_wing"):
        return True
    return True if framework != "torch" and collection_path.name.startswith("test_torch") else None
