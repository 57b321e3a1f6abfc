"""The faster way gives Pillow's pixels, and steps aside where it cannot."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.data.drops import photo
from unetlab.data.readers.decoders import plain_samples


def encoded(pixels, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def samples_of(content):
    with Image.open(io.BytesIO(content)) as picture:
        return plain_samples(picture, content)


PHOTO = np.repeat(np.repeat(photo(3), 3, axis=0), 3, axis=1)[:131, :117]


@pytest.mark.parametrize(
    "content",
    [
        encoded(PHOTO, "PNG"),
        encoded(PHOTO[:, :, 0], "PNG"),
        encoded(PHOTO, "PNG", optimize=True),
        *(encoded(PHOTO, "JPEG", quality=quality, subsampling=s) for quality in (30, 90) for s in (0, 1, 2)),
        encoded(PHOTO, "JPEG", progressive=True),
        encoded(PHOTO[:, :, 1], "JPEG"),
    ],
    ids=range(11),
)
def test_the_pixels_are_those_of_pillow(content):
    samples = samples_of(content)
    assert samples is not None
    assert np.array_equal(samples, np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize(
    "content",
    [
        encoded(np.dstack([PHOTO, PHOTO[:, :, 0]]), "PNG"),
        encoded(PHOTO[:, :, 0] > 99, "PNG"),
        encoded(PHOTO[:, :, 0].astype(np.uint16) * 9, "PNG"),
        encoded(PHOTO, "PNG", transparency=(1, 2, 3)),
        encoded(PHOTO, "BMP"),
        encoded(PHOTO, "JPEG")[:-40],
        encoded(PHOTO, "PNG")[:-40],
    ],
    ids=["alpha", "bits", "16 bits", "a transparent colour", "bmp", "jpeg cut off", "png cut off"],
)
def test_everything_else_is_left_to_pillow(content):
    assert samples_of(content) is None


def test_a_grey_png_of_four_bits_is_left_to_pillow():
    buffer = io.BytesIO()
    Image.fromarray((PHOTO[:, :, 0] // 16).astype(np.uint8)).convert("L").save(buffer, "PNG", bits=4)
    samples = samples_of(buffer.getvalue())
    assert samples is None or np.array_equal(samples, np.asarray(Image.open(io.BytesIO(buffer.getvalue()))))
