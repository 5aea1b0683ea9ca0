"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8 × 8 pixels."""

import numpy as np
from jaxtyping import Int64, UInt8
from sklearn.datasets import load_digits

_WHITE = 16  # the set's grey levels go from 0 to 16

CLASSES = tuple("0123456789")


def read() -> tuple[UInt8[np.ndarray, "n 1 8 8"], Int64[np.ndarray, " n"]]:
    """Returns the images, their 17 grey levels spread over 0 to 255, and the labels."""
    values, labels = load_digits(return_X_y=True)
    images = np.rint(values * 255 / _WHITE).astype(np.uint8)
    return images.reshape(-1, 1, 8, 8), labels.astype(np.int64)
