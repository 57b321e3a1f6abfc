"""Oracle: arrays written with Pillow or imagecodecs come back; what cannot be read is one error that names the file."""

import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from unetlab.data.in_threads import in_order
from unetlab.data.readers import images
from unetlab.data.readers.images import read_header, read_image, read_mask
from unetlab.errors import UnreadableFile

GREY = np.arange(60, dtype=np.uint8).reshape(6, 10)
RGB = np.arange(180, dtype=np.uint8).reshape(6, 10, 3)
RGBA = np.dstack([RGB, GREY])
DEEP = (np.arange(60, dtype=np.uint16) * 1000).reshape(6, 10)
COLOURS = [(0, 0, 0), (255, 0, 0), (0, 128, 255)]


def saved(path, array, mode=None, **options):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def indexed(path, colours=COLOURS):
    picture = Image.fromarray(GREY % len(colours))
    picture.putpalette([value for colour in colours for value in colour])
    picture.save(path)
    return path


def agree(path):
    """The picture at `path`, after checking that its header says the same."""
    raster, header = read_image(path), read_header(path)
    assert (header.height, header.width, header.channels) == raster.pixels.shape
    assert header.bits == 8 * raster.pixels.itemsize
    assert header.pages == raster.pages
    return raster


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp", ".ppm"])
def test_grey_and_colour_keep_their_values(suffix, tmp_path):
    options = {"lossless": True} if suffix == ".webp" else {}
    assert np.array_equal(agree(saved(tmp_path / f"b{suffix}", RGB, **options)).pixels, RGB)
    if suffix != ".webp":  # which knows no grey
        assert np.array_equal(agree(saved(tmp_path / f"a{suffix}", GREY)).pixels, GREY[:, :, None])
        assert np.array_equal(read_mask(tmp_path / f"a{suffix}").pixels, GREY[:, :, None])
    assert np.array_equal(read_mask(tmp_path / f"b{suffix}").pixels, RGB)


def test_sixteen_bits_are_kept_and_not_clipped_at_255(tmp_path):
    for suffix in (".png", ".tif", ".pgm"):
        path = saved(tmp_path / f"a{suffix}", DEEP)
        for raster in (agree(path), read_mask(path)):
            assert raster.pixels.dtype == np.uint16
            assert np.array_equal(raster.pixels[:, :, 0], DEEP)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_colour_in_png_is_kept_in_pictures(channels, tmp_path):
    deep = np.dstack([DEEP + number for number in range(channels)]).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    raster = agree(tmp_path / "a.png")
    assert np.array_equal(raster.pixels, deep[:, :, : 3 if channels > 2 else 1])
    assert raster.mode.endswith(";16")


def test_sixteen_bit_colour_in_masks_is_reduced_only_without_loss(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 257))
    assert np.array_equal(read_mask(path).pixels, RGB)
    path.write_bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 257 + 1))
    with pytest.raises(UnreadableFile, match=r"^a\.png is a colour mask of uint16"):
        read_mask(path)


def test_pictures_lose_alpha_and_masks_keep_it(tmp_path):
    path = saved(tmp_path / "a.png", RGBA)
    assert np.array_equal(agree(path).pixels, RGB)
    assert np.array_equal(read_mask(path).pixels, RGBA)
    path = saved(tmp_path / "la.png", np.dstack([GREY, GREY + 1]), "LA")
    assert np.array_equal(agree(path).pixels, GREY[:, :, None])
    assert np.array_equal(read_mask(path).pixels, np.dstack([GREY, GREY + 1]))


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".tif"])
def test_palettes_are_colours_in_pictures_and_indices_in_masks(suffix, tmp_path):
    path = indexed(tmp_path / f"p{suffix}")
    assert np.array_equal(agree(path).pixels, np.array(COLOURS, np.uint8)[GREY % 3])
    mask = read_mask(path)
    assert mask.mode == "P"
    assert np.array_equal(mask.pixels[:, :, 0], GREY % 3)
    assert mask.palette[:3] == (0, 0xFF0000, 0x0080FF)
    assert len(mask.palette) == 256


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_palette_of_greys_is_one_channel(suffix, tmp_path):
    path = indexed(tmp_path / f"p{suffix}", [(9, 9, 9), (200, 200, 200)])
    assert np.array_equal(agree(path).pixels[:, :, 0], np.where(GREY % 2, 200, 9))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".pbm", ".gif"])
def test_black_and_white_becomes_0_and_255(suffix, tmp_path):
    path = saved(tmp_path / f"a{suffix}", GREY > 30)
    wanted = np.where(GREY > 30, 255, 0)
    assert np.array_equal(agree(path).pixels[:, :, 0], wanted)
    mask = read_mask(path)
    shown = np.array(mask.palette)[mask.pixels] & 255 if mask.palette else mask.pixels
    assert np.array_equal(shown[:, :, 0], wanted)


@pytest.mark.parametrize(("suffix", "exactness"), [(".jpg", 3), (".tif", 0)])
def test_printers_colours_become_rgb_and_white_stays_white(suffix, exactness, tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[8:] = (0, 255, 255, 0)  # magenta and yellow: red
    Image.fromarray(ink, "CMYK").save(tmp_path / f"a{suffix}")
    for pixels in (agree(tmp_path / f"a{suffix}").pixels, read_mask(tmp_path / f"a{suffix}").pixels):
        assert np.abs(pixels[2, 2].astype(int) - 255).max() <= exactness
        assert np.abs(pixels[13, 13].astype(int) - (255, 0, 0)).max() <= exactness


def test_lab_becomes_rgb(tmp_path):
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(red, *profiles, outputMode="LAB")
    lab.save(tmp_path / "a.tif")
    assert np.abs(agree(tmp_path / "a.tif").pixels.astype(int) - (200, 30, 30)).max() <= 3


def test_jpeg_and_lossy_webp_are_told_from_lossless_files(tmp_path):
    large = np.kron(RGB, np.ones((8, 8, 1), np.uint8))
    assert read_mask(saved(tmp_path / "a.jpg", large)).is_lossy
    assert read_mask(saved(tmp_path / "a.webp", large, quality=50)).is_lossy
    assert read_mask(saved(tmp_path / "e.webp", large, quality=50, exif=Image.Exif().tobytes())).is_lossy
    assert not read_mask(saved(tmp_path / "b.webp", large, lossless=True)).is_lossy
    assert not read_mask(saved(tmp_path / "b.png", large)).is_lossy
    assert read_mask(saved(tmp_path / "b.tif", large, compression="jpeg")).is_lossy
    assert not read_mask(saved(tmp_path / "c.tif", large, compression="tiff_lzw")).is_lossy


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_as_pillow_does(suffix, orientation, tmp_path):
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = orientation
    path = saved(tmp_path / f"a{suffix}", np.kron(RGB, np.ones((8, 8, 1), np.uint8)), exif=exif)
    with Image.open(path) as picture:
        wanted = np.asarray(ImageOps.exif_transpose(picture))
    assert np.array_equal(agree(path).pixels, wanted)
    assert np.array_equal(read_mask(path).pixels, wanted)


def test_exif_after_the_pixels_of_a_png_counts_too(tmp_path):
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = 6
    content = saved(tmp_path / "a.png", GREY).read_bytes()
    block = b"eXIf" + exif.tobytes()[6:]
    chunk = (len(block) - 4).to_bytes(4) + block + zlib.crc32(block).to_bytes(4)
    (tmp_path / "a.png").write_bytes(content[:-12] + chunk + content[-12:])  # ImageMagick writes it there
    assert np.array_equal(agree(tmp_path / "a.png").pixels[:, :, 0], np.rot90(GREY, -1))


def test_a_broken_exif_block_does_not_make_a_picture_unreadable(tmp_path):
    path = saved(tmp_path / "a.jpg", RGB, exif=b"Exif\0\0nonsense")
    assert agree(path).pixels.shape == (6, 10, 3)


def test_content_that_is_known_already_is_not_read_again_and_suffixes_may_lie(tmp_path):
    content = saved(tmp_path / "a.jpg", GREY).read_bytes()
    raster = read_image(tmp_path / "nowhere.png", content=content)
    assert np.array_equal(raster.pixels, read_image(tmp_path / "a.jpg").pixels)
    assert raster.is_lossy


def test_a_page_that_is_not_there_is_named(tmp_path):
    path = saved(tmp_path / "a.png", GREY)
    with pytest.raises(UnreadableFile, match=r"^a\.png has 1 page"):
        read_image(path, page=1)


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
    elif kind == "a folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["a text", "no bytes", "cut off", "a folder", "missing"])
def test_what_cannot_be_read_is_named(kind, tmp_path):
    for read in (read_image, read_mask):
        with pytest.raises(UnreadableFile, match=r"^bad\."):
            read(make_hostile(tmp_path / read.__name__, kind))


@pytest.fixture(autouse=True)
def folders(tmp_path):
    (tmp_path / "read_image").mkdir()
    (tmp_path / "read_mask").mkdir()


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 59)
    for suffix in (".png", ".tif"):
        path = saved(tmp_path / f"a{suffix}", GREY)
        for read in (read_image, read_mask, read_header):
            with pytest.raises(UnreadableFile, match="10×6 px"):
                read(path)


def test_a_picture_beyond_pillows_own_limit_neither_warns_nor_decodes(tmp_path):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")
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
