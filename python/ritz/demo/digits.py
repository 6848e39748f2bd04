"""1,797 real images of handwritten digits that scikit-learn ships, split for training and testing.

Reference: Alpaydin, Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning
Repository, 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Digits", "load"]


@dataclass(frozen=True)
class Digits:
    """Images as rows of 64 grey values of mean 0 and variance 1, labels 0 to 9."""

    train_images: npt.NDArray[np.float64]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.float64]
    test_labels: npt.NDArray[np.int64]


def load(seed: int = 0) -> Digits:
    """Load the digits and keep a random fifth of every class for testing.

    Parameters
    ----------
    seed : int
        Of the split.

    Returns
    -------
    Digits

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the demo reads its images from scikit-learn: pip install ritz[demo]"
        ) from error
    data: Any = load_digits()
    images = np.ascontiguousarray(data.images.reshape(-1, 64), dtype=np.float64)
    labels = np.asarray(data.target, dtype=np.int64)
    rng = np.random.default_rng(seed)
    test = np.zeros(labels.size, dtype=bool)
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(labels == digit))
        test[members[: round(members.size / 5)]] = True
    # One mean and one scale for all pixels, from the training images alone.
    images -= images[~test].mean()
    images /= images[~test].std()
    return Digits(images[~test], labels[~test], images[test], labels[test])
