"""Near copies are found and strangers are not, on made pictures of several kinds and on real sets."""

import base64
import io
import time
import tracemalloc
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import TEST_DATA
from unetlab.data.checks.lookalikes import MAX_MATCHES, near_duplicates, neighbour_likeness

KINDS = ("fine", "blobs", "clouds", "vignette", "retina")


def thumb_of(picture: np.ndarray) -> str:
    """What ImageFacts keeps: 16x16, averaged over areas, stretched to the picture's own range."""
    small = np.asarray(Image.fromarray(picture.astype(np.float32)).resize((16, 16), Image.Resampling.BOX))
    low, high = float(picture.min()), float(picture.max())
    return encoded(np.round((small - low) / max(high - low, 1e-6) * 255))


def encoded(cells: np.ndarray) -> str:
    return base64.b64encode(np.clip(cells, 0, 255).astype(np.uint8).tobytes()).decode()


@cache
def textures(kind: str, count: int, seed: int = 0) -> list[np.ndarray]:
    """Different pictures (256,256) of one kind, 0..255."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    y, x = np.mgrid[:256, :256] / 255
    radius = np.hypot(x - 0.5, y - 0.5)
    spread = {"fine": 0.15, "blobs": 0.02, "vignette": 0.03, "retina": 0.03}.get(kind)
    weight = 1 / np.maximum(frequency, 1 / 256) if spread is None else np.exp(-((frequency / spread) ** 2))
    pictures = []
    for _ in range(count):
        noise = np.real(np.fft.ifft2(np.fft.fft2(rng.normal(size=(256, 256))) * weight))
        noise = (noise - noise.mean()) / noise.std()
        picture = 128 + 40 * noise
        if kind == "vignette":
            picture = 128 - 240 * radius**2 + 10 * noise
        if kind == "retina":
            disc = 60 * np.exp(-80 * ((x - 0.3 - 0.02 * rng.normal()) ** 2 + (y - 0.5) ** 2))
            picture = np.where(radius < 0.45, 130 + 15 * noise + disc, 0)
        pictures.append(np.clip(picture, 0, 255).astype(np.float32))
    return pictures


def as_jpeg(picture: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "brighter": lambda picture: np.clip(picture * 1.2 + 10, 0, 255),
    "jpeg": as_jpeg,
    "half the size": lambda picture: picture.reshape(128, 2, 128, 2).mean(axis=(1, 3)),
    "slight noise": lambda picture: picture + np.random.default_rng(5).normal(0, 5, picture.shape),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_copy_is_found_and_nothing_else(kind, change):
    pictures = textures(kind, 30)
    thumbs = [thumb_of(picture) for picture in [*pictures, CHANGES[change](pictures[7])]]
    assert [match[:2] for match in near_duplicates(thumbs)] == [(7, 30)]


@pytest.mark.parametrize("kind", ["fine", "blobs", "clouds", "vignette"])
def test_a_copy_cropped_by_2_px_is_found(kind):
    pictures = textures(kind, 30)
    thumbs = [thumb_of(picture) for picture in [*pictures, pictures[7][2:, 2:]]]
    assert [match[:2] for match in near_duplicates(thumbs)] == [(7, 30)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirrored_copy_is_not_found_which_is_a_limit(kind):
    pictures = textures(kind, 10)
    assert near_duplicates([thumb_of(picture) for picture in [*pictures, pictures[7][:, ::-1]]]) == []


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("folder", "num_pictures"), [("isbi_membrane/images", 30), ("crackforest/Images", 118), ("camvid/test", 30)]
)
def test_in_real_sets_a_copy_is_found_and_strangers_are_not(folder, num_pictures):
    paths = sorted((TEST_DATA / folder).iterdir())
    assert len(paths) == num_pictures
    pictures = [np.asarray(Image.open(path).convert("L")).astype(np.float32) for path in paths]
    found = near_duplicates([thumb_of(picture) for picture in [*pictures, as_jpeg(pictures[3])]])
    assert (3, num_pictures) in [match[:2] for match in found]
    # The car of CamVid stands still in frames 1980 to 2700, four of the test pictures.
    still = {(paths[first].stem[-5:], paths[second].stem[-5:]) for first, second, _ in found if second < num_pictures}
    assert len(still) == (6 if folder == "camvid/test" else 0)
    assert still <= {(a, b) for a in still_frames() for b in still_frames()}


def still_frames() -> list[str]:
    return ["01980", "02220", "02460", "02700"]


def test_flat_thumbs_match_nothing_not_even_themselves():
    flat, nearly = np.full((16, 16), 90), np.full((16, 16), 90)
    nearly[3, 4] = 91
    picture = thumb_of(textures("fine", 1)[0])
    assert near_duplicates([encoded(flat), encoded(flat), encoded(nearly), encoded(nearly), picture]) == []


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_have_no_copies(count):
    assert near_duplicates([thumb_of(picture) for picture in textures("fine", count)]) == []


def test_two_equal_pictures_alone_are_copies():
    thumb = thumb_of(textures("fine", 1)[0])
    assert near_duplicates([thumb, thumb]) == [(0, 1, pytest.approx(1.0))]


def test_only_pairs_from_different_sides_count_when_sides_are_given():
    thumbs = [thumb_of(picture) for picture in textures("blobs", 4)]
    found = near_duplicates([*thumbs, *thumbs], sides=["train"] * 5 + ["valid"] * 3)
    assert [match[:2] for match in found] == [(1, 5), (2, 6), (3, 7)]


def test_of_a_picture_with_many_copies_only_the_most_alike_are_told_but_each_copy_appears():
    cells = np.random.default_rng(0).integers(30, 220, (16, 16))
    noise = np.random.default_rng(1).integers(-2, 3, (60, 16, 16))
    found = near_duplicates([encoded(cells + wobble) for wobble in noise])
    assert {place for match in found for place in match[:2]} == set(range(60))
    assert len(found) <= 60 * MAX_MATCHES


@given(order=st.permutations(range(12)))
@settings(deadline=None, max_examples=20)
def test_the_order_of_pictures_does_not_matter(order):
    pictures = textures("clouds", 10)
    thumbs = [thumb_of(picture) for picture in [*pictures, as_jpeg(pictures[2]), as_jpeg(pictures[5])]]
    found = {frozenset(order[place] for place in match[:2]) for match in near_duplicates([thumbs[i] for i in order])}
    assert found == {frozenset({2, 10}), frozenset({5, 11})}


def test_neighbours_of_a_film_are_more_alike_than_strangers():
    pictures = textures("clouds", 12)
    film = [(1 - share) * pictures[i] + share * pictures[i + 1] for i in range(11) for share in (0, 1 / 3, 2 / 3)]
    following = [(place, place + 1) for place in range(len(film) - 1)]
    assert neighbour_likeness([thumb_of(picture) for picture in film], following) > 0.5
    strangers = [thumb_of(picture) for picture in textures("clouds", 33)]
    assert abs(neighbour_likeness(strangers, following)) < 0.1
    assert neighbour_likeness(strangers, []) == 0


def test_ten_thousand_thumbs_take_seconds_and_little_memory():
    rng = np.random.default_rng(0)
    thumbs = [encoded(cells) for cells in rng.integers(0, 256, (10_000, 16, 16))]
    thumbs[9_999] = thumbs[0]
    tracemalloc.start()
    started = time.process_time()
    found = near_duplicates(thumbs)
    elapsed_s = time.process_time() - started
    peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert found == [(0, 9_999, pytest.approx(1.0))]
    assert elapsed_s < 10  # measured 0.9 s on one idle core
    assert peak_mib < 300
