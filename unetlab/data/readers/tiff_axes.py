"""Which planes of a TIFF are channels of one picture and which are pages, from what its description declares.

ImageJ, OME and tifffile write the axes before Y and X into the description of the first directory; a plane is one
directory. Numbers only, no file is read. A description is a stranger's text: nothing is believed that does not
multiply to the number of planes there are.
"""

import math
import re

import numpy as np

ROWS = "rows"  # an array (H,W,C) that was written as H planes of W by C pixels
MAX_CHANNELS = 8
NARROWEST = 32  # px; a picture is wider, so a last axis of at most this size are channels


def declared(description: str, plane: tuple[int, ...]) -> dict[str, int]:
    """Axes before those of one plane, slowest first, with their sizes; empty where nothing is declared.

    plane: shape of one plane. Letters are T time, Z depth, C channel, others as written, digits where unnamed. The
    one axis ROWS says that the planes are rows of a single picture, whose columns are its channels.
    """
    if description.startswith("ImageJ="):
        sizes = dict(re.findall(r"^(frames|slices|channels)=(\d{1,7})\s*$", description, re.M))
        axes = {axis: int(sizes.get(key, 1)) for axis, key in (("T", "frames"), ("Z", "slices"), ("C", "channels"))}
        if axes["C"] > MAX_CHANNELS:  # tifffile declares any stack channels that it is not told the axes of
            axes["slices"] = axes.pop("C")
        return axes
    if pixels := re.search(r"<(?:\w+:)?Pixels\b[^>]*>", description):
        found = dict(re.findall(r'\b(DimensionOrder|Size[TZC])="(\w{1,7})"', pixels[0]))
        slowest_first = [axis for axis in reversed(found.pop("DimensionOrder", "XYCZT")) if axis in "TZC"]
        return {axis: int(found[f"Size{axis}"]) for axis in slowest_first if found.get(f"Size{axis}", "").isdecimal()}
    return _written_by_tifffile(description, plane)


def arrange(axes: dict[str, int], num_planes: int, samples: int) -> np.ndarray:
    """Plane numbers (pages, channels). All planes are pages where the sizes of `axes` do not multiply to their number.

    samples: samples side by side in each plane, which Bio-Formats counts as channels too.
    """
    sizes = dict(axes)
    if math.prod(sizes.values()) != num_planes and sizes.get("C", 1) % samples == 0:
        sizes["C"] = sizes.get("C", 1) // samples
    if math.prod(sizes.values()) != num_planes:
        sizes = {"pages": num_planes}
    table = np.arange(num_planes).reshape(*sizes.values(), 1)
    place = list(sizes).index("C") if "C" in sizes else -1
    return np.moveaxis(table, place, -1).reshape(-1, sizes.get("C", 1))


def _written_by_tifffile(description: str, plane: tuple[int, ...]) -> dict[str, int]:
    written = re.search(r'"shape": \[([\d, ]{1,99})\]', description)
    if not written:
        return {}
    shape = tuple(int(number) for number in re.findall(r"\d{1,9}", written[1]))
    named = re.search(r'"axes": "([A-Z]{1,16})"', description)
    axes = named[1] if named and len(named[1]) == len(shape) else ""
    is_narrow = len(shape) == 3 and shape[2] <= NARROWEST < min(shape[:2])
    if shape[1:] == plane and (axes == "YXC" or (not axes and is_narrow)):
        return {ROWS: shape[0]}
    if axes:
        return {axis: size for axis, size in zip(axes, shape, strict=True) if axis not in "YXS"}
    return {str(place): size for place, size in enumerate(shape[: -len(plane)])}
