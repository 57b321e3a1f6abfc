"""Oracle: what the makers of CARLA and Oxford-IIIT Pet say of their masks: ids in the red channel, a trimap."""

import numpy as np

from tests.data.mask_sets import decoded, raster, surveyed
from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.readings import alternatives, propose


def test_ids_in_the_red_channel_take_the_names_of_their_ids():
    names = ClassFile("classes.csv", {value: f"thing {value}" for value in range(13)}, has_ids=True)
    ids = np.repeat(np.array([0] * 60 + [7] * 60 + [1, 2, 4, 5, 6], np.uint8), 4).reshape(20, 25)
    mask = raster(np.dstack([ids, ids * 0, ids * 0]))
    found = surveyed([mask] * 4)
    for reading in (propose(found).reading, propose(found, names).reading):
        assert [group.values for group in reading.groups] == [[value << 16] for value in (0, 1, 2, 4, 5, 6, 7)]
    assert [group.name for group in reading.groups] == [f"thing {value}" for value in (0, 1, 2, 4, 5, 6, 7)]
    assert np.array_equal(decoded(reading, [mask])[0], np.searchsorted([0, 1, 2, 4, 5, 6, 7], ids))


def test_the_trimap_of_oxford_pet_is_named_and_its_border_may_be_left_out():
    pet = raster(np.array([[1, 1, 1, 2, 2, 2, 2, 3, 3]], np.uint8))
    proposal = propose(surveyed([pet] * 4))
    assert proposal.is_certain
    named = [(group.name, group.values) for group in proposal.reading.groups]
    assert named == [("foreground", [1]), ("background", [2]), ("border", [3])]
    assert "trimaps of Oxford-IIIT Pet" in " ".join(proposal.reasons)
    assert "ignore:3" in [reading.key for reading in alternatives(surveyed([pet] * 4))]
    without_border = raster(np.array([[1, 1, 2, 2]], np.uint8))
    large_border = raster(np.array([[1, 1, 2, 2, 3, 3, 3]], np.uint8))
    for others in ([pet, without_border], [large_border]):
        assert propose(surveyed(others)).reading.groups[0].name == "value 1"
