"""Oracle: descriptions as ImageJ, OME and tifffile write them; and that no plane is lost whatever is declared."""

import math

from hypothesis import given
from hypothesis import strategies as st

from unetlab.data.readers.tiff_axes import ROWS, arrange, declared

SOME_AXES = st.lists(st.tuples(st.sampled_from("TZCI1"), st.integers(0, 5)), max_size=4)
SOME_WORDS = r'ImageJ=1\n(slices|channels)=\d+\n|<Pixels SizeC="\d*" SizeZ="\w*"|\{"shape": \[[\d, ]*\]'


@given(SOME_AXES, st.integers(1, 60), st.integers(1, 4))
def test_every_plane_is_in_exactly_one_place_whatever_is_declared(axes, num_planes, samples_per_plane):
    planes = arrange(dict(axes), num_planes, samples_per_plane)
    assert sorted(planes.ravel().tolist()) == list(range(num_planes))
    if planes.shape[1] > 1:
        assert math.prod(dict(axes).values()) in (num_planes, num_planes * samples_per_plane)


@given(st.text() | st.from_regex(SOME_WORDS))
def test_no_description_breaks_the_reader(description):
    assert all(size >= 0 for size in declared(description, (40, 50)).values())


def test_axes_are_taken_from_what_imagej_ome_and_tifffile_write():
    assert declared("ImageJ=1.53t\nimages=24\nchannels=2\nslices=3\nframes=4\n", (9, 9)) == {"T": 4, "Z": 3, "C": 2}
    ome = '<OME><Image><Pixels DimensionOrder="XYZCT" SizeX="9" SizeY="9" SizeZ="3" SizeC="2" SizeT="1"/></Image></OME>'
    assert list(declared(ome, (9, 9)).items()) == [("T", 1), ("C", 2), ("Z", 3)]
    assert declared("ImageJ=1.11a\nimages=30\nchannels=30\n", (9, 9)) == {"T": 1, "Z": 1, "slices": 30}
    assert declared('{"shape": [4, 9, 9], "axes": "CYX"}', (9, 9)) == {"C": 4}
    assert declared('{"shape": [512, 640, 5]}', (640, 5)) == {ROWS: 512}
    assert declared('{"shape": [12, 640, 500]}', (640, 500)) == {"0": 12}
    assert declared("a photograph", (9, 9)) == {}


def test_samples_side_by_side_that_were_declared_as_channels_are_not_counted_twice():
    assert arrange({"C": 6, "Z": 2}, 4, 3).tolist() == [[0, 2], [1, 3]]
    assert arrange({"T": 1, "Z": 5, "C": 3}, 5, 3).tolist() == [[0], [1], [2], [3], [4]]  # Bio-Formats
    assert arrange({"Z": 2, "C": 2}, 4, 1).tolist() == [[0, 1], [2, 3]]
    assert arrange({"C": 2, "Z": 2}, 4, 1).tolist() == [[0, 2], [1, 3]]
    assert arrange({"Z": 7}, 4, 1).tolist() == [[0], [1], [2], [3]]
