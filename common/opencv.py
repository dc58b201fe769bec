"""What differs between OpenCV's releases."""

import cv2


def silence() -> None:
    """Has OpenCV write nothing on stderr itself: the one line that says what is wrong with an image comes from us."""
    # OpenCV 4 has the function at the top, OpenCV 5 in a module of its own; 0 is "silent" in both.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(0)
