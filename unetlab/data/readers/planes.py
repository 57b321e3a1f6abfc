"""Masks of one plane a class (one-hot), in pages or in channels, to one plane of class numbers.

Arrays only.
"""

from collections.abc import Iterable

import numpy as np

from unetlab.errors import UnreadableFile

EVERY_PAGE = -1  # a mask's page where all of its pages together are one mask
MAX_PLANES = 255


def class_numbers(planes: Iterable[np.ndarray], name: str) -> np.ndarray:
    """The number, from 0, of the plane that is set at each pixel, uint8 in the planes' shape; they are 0 where not set.

    Raises UnreadableFile where it is not one plane at every pixel, or planes hold more than 0 and one other value: what
    they mean then has to be asked.
    """
    numbers, num_set, values = np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros(0)
    for number, plane in enumerate(planes):
        is_set = plane != 0
        if number == 0:
            numbers, num_set = np.zeros(plane.shape, np.uint8), np.zeros(plane.shape, np.uint8)
        values = np.union1d(values, plane[is_set])
        num_set += is_set
        if number >= MAX_PLANES or len(values) > 1 or num_set.max(initial=0) > 1:
            raise _not_one_a_class(name)
        numbers[is_set] = number
    if not num_set.all():
        raise _not_one_a_class(name)
    return numbers


def _not_one_a_class(name: str) -> UnreadableFile:
    return UnreadableFile(f"The planes of {name} are not one a class, with one of them set at every pixel.")
