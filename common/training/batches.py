"""Tells by their names how a training batch's arrays are treated."""


def stays_on_host(name: str) -> bool:
    """Tells whether an array of a batch is passed to the family's losses as a NumPy array, not as the framework's."""
    return name == "image_id" or name.startswith("host.")
