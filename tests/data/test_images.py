"""Oracle: arrays written with Pillow come back; everything hostile is one kind of error that names the file."""

import warnings

import numpy as np
import pytest
from PIL import Image

from unetlab.data import images
from unetlab.data.images import in_order, read_header, read_image
from unetlab.errors import UnreadableFile

GREY = np.arange(60, dtype=np.uint8).reshape(6, 10)
RGB = np.arange(180, dtype=np.uint8).reshape(6, 10, 3)
DEEP = (np.arange(60, dtype=np.uint16) * 1000).reshape(6, 10)


def saved(path, array, mode=None):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_grey_and_colour_keep_their_values(suffix, tmp_path):
    assert np.array_equal(read_image(saved(tmp_path / f"a{suffix}", GREY)), GREY[:, :, None])
    assert np.array_equal(read_image(saved(tmp_path / f"b{suffix}", RGB)), RGB)


def test_sixteen_bits_are_kept_and_not_clipped_at_255(tmp_path):
    for path in (saved(tmp_path / "a.png", DEEP), saved(tmp_path / "a.tif", DEEP)):
        assert read_image(path).dtype == np.uint16
        assert np.array_equal(read_image(path)[:, :, 0], DEEP)
        assert read_header(path).is_deep


def test_big_endian_tiffs_are_read_in_the_right_order(tmp_path):
    header = b"MM\x00*\x00\x00\x00\x08\x00\x08"
    entries = [(256, 10), (257, 6), (258, 16), (259, 1), (262, 1), (273, 110), (278, 6), (279, 120)]
    fields = b"".join(
        tag.to_bytes(2) + (4 if tag in (273, 279) else 3).to_bytes(2) + (1).to_bytes(4)
        + (value.to_bytes(4) if tag in (273, 279) else value.to_bytes(2) + b"\0\0")
        for tag, value in entries
    )  # fmt: skip
    (tmp_path / "a.tif").write_bytes(header + fields + b"\0" * 4 + DEEP.astype(">u2").tobytes())
    assert np.array_equal(read_image(tmp_path / "a.tif")[:, :, 0], DEEP)


def test_alpha_is_dropped_and_palettes_become_rgb(tmp_path):
    rgba = np.dstack([RGB, np.full((6, 10), 7, np.uint8)])
    assert np.array_equal(read_image(saved(tmp_path / "a.png", rgba)), RGB)
    assert read_image(saved(tmp_path / "p.png", RGB, "P")).shape == (6, 10, 3)
    assert read_image(saved(tmp_path / "la.png", GREY, "LA")).shape == (6, 10, 1)
    assert set(np.unique(read_image(saved(tmp_path / "1.png", GREY > 30)))) == {0, 255}


def test_exif_rotation_is_applied_to_pixels_and_header(tmp_path):
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = 6
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png")[:, :, 0], np.rot90(GREY, -1))
    header = read_header(tmp_path / "a.png")
    assert (header.height, header.width) == (10, 6)


def make_hostile(folder, kind):
    path = folder / "bad.png"
    if kind == "a text":
        path.write_text("hello")
    elif kind == "no bytes":
        path.write_bytes(b"")
    elif kind == "cut off":
        noise = np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
        saved(path, noise)
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "floating point":
        path = folder / "bad.tif"
        Image.fromarray(np.zeros((3, 3), np.float32)).save(path)
    return path


@pytest.mark.parametrize("kind", ["a text", "no bytes", "cut off", "floating point", "missing"])
def test_what_cannot_be_read_is_named(kind, tmp_path):
    with pytest.raises(UnreadableFile, match=r"^bad\."):
        read_image(make_hostile(tmp_path, kind))


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 59)
    with pytest.raises(UnreadableFile, match="10×6 px"):
        read_image(saved(tmp_path / "a.png", GREY))
    with pytest.raises(UnreadableFile):
        read_header(tmp_path / "a.png")


def test_a_picture_beyond_pillows_own_limit_neither_warns_nor_decodes(tmp_path):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableFile, match="million pixels"):
            read_image(tmp_path / "a.png")


def test_a_large_picture_below_the_cap_does_not_warn(tmp_path):
    Image.new("1", (9_500, 10_000)).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_header(tmp_path / "a.png").width == 9_500


def test_threads_keep_the_order_and_pass_on_errors():
    assert list(in_order(lambda number: number * number, range(50))) == [number * number for number in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda number: 1 // (number - 3), range(50)))


def test_threads_work_ahead_only_a_little():
    asked = []
    results = in_order(lambda number: number, (asked.append(number) or number for number in range(1000)))
    next(results)
    assert len(asked) <= 8
    results.close()
