"""Class names and colours of public data sets, by which masks without a class file can be named.

Sources: PASCAL VOC development kit (VOCcode/VOClabelcolormap.m), CamVid label_colors.txt and the 11 classes of
SegNet (Badrinarayanan et al. 2017), Cityscapes scripts (helpers/labels.py).
"""

from collections.abc import Collection
from typing import NamedTuple


class Palette(NamedTuple):
    """Names of colours 0xRRGGBB, in the order of the classes; those named `void` are left out of loss and scores."""

    name: str
    names: dict[int, str]


class CityscapesLabel(NamedTuple):
    """One line of the Cityscapes table. train_id is None for what the benchmark does not evaluate."""

    name: str
    train_id: int | None
    colour: int


def voc_colour(index: int) -> int:
    """Colour 0xRRGGBB of a class id in the palette of PASCAL VOC, which labelme and others use as well."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0] << 16 | channels[1] << 8 | channels[2]


_VOC = """
background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike,
person, pottedplant, sheep, sofa, train, tvmonitor
"""
VOC = Palette(
    "PASCAL VOC",
    {voc_colour(index): name.strip() for index, name in enumerate(_VOC.split(","))} | {0xE0E0C0: "void"},
)

TRIMAP = Palette("the trimaps of Oxford-IIIT Pet", {1: "foreground", 2: "background", 3: "border"})

_CAMVID = """
808080 Sky, 800000 Building, c0c080 Column_Pole, 804080 Road, 0000c0 Sidewalk, 3c28de Pavement, 808000 Tree,
c08080 SignSymbol, 404080 Fence, 400080 Car, 404000 Pedestrian, 0080c0 Bicyclist, 408040 Animal, c00080 Archway,
008040 Bridge, 4000c0 CartLuggagePram, c08040 Child, 8000c0 LaneMkgsDriv, c00040 LaneMkgsNonDriv, 808040 Misc_Text,
c000c0 MotorcycleScooter, 804040 OtherMoving, 40c080 ParkingBlock, 8080c0 RoadShoulder, ff4500 Road_marking,
4080c0 SUVPickupTruck, 000040 TrafficCone, 004040 TrafficLight, c04080 Train, c080c0 Truck_Bus, 400040 Tunnel,
c0c000 VegetationMisc, 40c000 Wall, 000000 void
"""
CAMVID = Palette("CamVid", {int(entry[:6], 16): entry[7:] for entry in _CAMVID.replace("\n", " ").strip().split(", ")})

# By label id, 0 to 33: colour, trainId, name.
_CITYSCAPES = """
000000 - unlabeled, 000000 - ego vehicle, 000000 - rectification border, 000000 - out of roi, 000000 - static,
6f4a00 - dynamic, 510051 - ground, 804080 0 road, f423e8 1 sidewalk, faaaa0 - parking, e6968c - rail track,
464646 2 building, 66669c 3 wall, be9999 4 fence, b4a5b4 - guard rail, 966464 - bridge, 96785a - tunnel, 999999 5 pole,
999999 - polegroup, faaa1e 6 traffic light, dcdc00 7 traffic sign, 6b8e23 8 vegetation, 98fb98 9 terrain,
4682b4 10 sky, dc143c 11 person, ff0000 12 rider, 00008e 13 car, 000046 14 truck, 003c64 15 bus, 00005a - caravan,
00006e - trailer, 005064 16 train, 0000e6 17 motorcycle, 770b20 18 bicycle
"""
CITYSCAPES_LABELS = [
    CityscapesLabel(name, None if train_id == "-" else int(train_id), int(colour, 16))
    for colour, train_id, name in (entry.split(maxsplit=2) for entry in _CITYSCAPES.strip().split(","))
]
NUM_TRAIN_IDS = 19
NUM_CITYSCAPES_VOID = 4  # ids 0 to 3 say nothing about the street
CITYSCAPES = Palette(
    "Cityscapes",
    # Poles and pole groups, static and unlabelled share a colour: the name of the evaluated class wins.
    {label.colour: label.name for label in CITYSCAPES_LABELS}
    | {label.colour: label.name for label in CITYSCAPES_LABELS if label.train_id is not None}
    | {0: "void"},
)
PALETTES = (VOC, CAMVID, CITYSCAPES)


def palette_of(colours: Collection[int], *, is_palette_image: bool) -> Palette | None:
    """The one known palette that holds all these colours; None where none does, or several.

    At least two colours beside black are needed: black and red are anybody's. Palette images with one colour
    beside black may still be PASCAL VOC's, whose order they carry.
    """
    matching = [palette for palette in PALETTES if set(colours) <= palette.names.keys()]
    num_colours = len(set(colours) - {0})
    if is_palette_image and VOC in matching and num_colours >= 1:
        return VOC
    return matching[0] if len(matching) == 1 and num_colours >= 2 else None


def are_cityscapes_ids(values: Collection[int]) -> bool:
    """True for label ids of Cityscapes: up to 33, with the road, houses, plants, sky and cars of every street."""
    ids = set(values) - {255}
    is_within = max(ids, default=0) < len(CITYSCAPES_LABELS) and len(ids) >= 10
    has_gaps = ids != set(range(len(ids))) or len(ids) > 32
    return is_within and has_gaps and {7, 11, 21, 23, 26} <= ids and bool(ids & {1, 2, 3})
