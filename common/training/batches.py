"""What a training batch's keys say about its arrays."""


def stays_on_host(name: str) -> bool:
    """Whether an array of a batch goes to the network as NumPy has it, and not as the framework's own."""
    return name == "image_id" or name.startswith("host.")
