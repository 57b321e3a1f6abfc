"""Oracle: arrays written with tifffile in many axes and codings come back; Pillow where it reads the same."""

import logging

import numpy as np
import pytest
import tifffile
from PIL import Image

from unetlab.data.readers import tiff
from unetlab.data.readers.images import read_header, read_image, read_mask
from unetlab.errors import UnreadableFile

H, W = 40, 50
RNG = np.random.default_rng(0)


def samples(*shape, dtype=np.uint8):
    if np.dtype(dtype).kind == "f":
        return RNG.random(shape, np.float32).astype(dtype)
    return RNG.integers(0, 200, shape).astype(dtype)


def written(folder, array, **options):
    path = folder / "a.tif"
    tifffile.imwrite(path, array, **options)
    return path


def agree(path, page=0):
    """The picture at `path`, after checking that its header says the same."""
    raster, header = read_image(path, page=page), read_header(path)
    assert (header.height, header.width, header.channels) == raster.pixels.shape
    assert header.pages == raster.pages
    return raster


def pages_of(path):
    return [agree(path, page).pixels for page in range(read_header(path).pages)]


STACKS = [  # options of tifffile, its axes
    ({"metadata": {"axes": "CYX"}}, "CYX"),
    ({"metadata": {"axes": "ZYX"}}, "ZYX"),
    ({"metadata": {"axes": "TYX"}}, "TYX"),
    ({}, "QYX"),
    ({"metadata": None}, "QYX"),
    ({"metadata": {"axes": "ZCYX"}}, "ZCYX"),
    ({"metadata": {"axes": "CZYX"}}, "CZYX"),
    ({"metadata": {"axes": "TZCYX"}}, "TZCYX"),
    ({"metadata": {"axes": "ZTYX"}}, "ZTYX"),
    ({"imagej": True, "metadata": {"axes": "ZYX"}}, "ZYX"),
    ({"imagej": True, "metadata": {"axes": "CYX"}}, "CYX"),
    ({"imagej": True, "metadata": {"axes": "ZCYX"}}, "ZCYX"),
    ({"imagej": True, "metadata": {"axes": "TZCYX"}}, "TZCYX"),
    ({"ome": True, "metadata": {"axes": "CYX"}}, "CYX"),
    ({"ome": True, "metadata": {"axes": "ZYX"}}, "ZYX"),
    ({"ome": True, "metadata": {"axes": "TCYX"}}, "TCYX"),
    ({"ome": True, "metadata": {"axes": "TZCYX"}}, "TZCYX"),
    ({"ome": True, "metadata": {"axes": "CZYX"}}, "CZYX"),
]
SIZES = {"T": 3, "Z": 4, "C": 2, "Q": 5, "Y": H, "X": W}


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("options", "axes"), STACKS)
def test_c_is_channels_and_all_other_axes_are_pages(options, axes, compression, tmp_path):
    array = samples(*[SIZES[axis] for axis in axes], dtype=np.uint16)
    coding = {} if "imagej" in options else {"compression": compression}
    path = written(tmp_path, array, photometric="minisblack", **coding, **options)
    wanted = np.moveaxis(array, axes.index("C"), -1) if "C" in axes else array[..., None]
    assert np.array_equal(pages_of(path), wanted.reshape(-1, H, W, wanted.shape[-1]))


@pytest.mark.parametrize("is_imagej", [True, False])
def test_stacks_that_have_a_single_directory_are_read_whole(is_imagej, tmp_path):
    array = samples(4, H, W, dtype=np.uint16)
    options = {"imagej": is_imagej, "metadata": {"axes": "ZYX"}, "photometric": "minisblack", "truncate": True}
    assert np.array_equal(pages_of(written(tmp_path, array, **options)), array[..., None])


def test_a_stack_that_tifffile_declared_channels_for_imagej_is_pages(tmp_path):
    array = samples(12, H, W)
    assert np.array_equal(pages_of(written(tmp_path, array, imagej=True)), array[..., None])


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"ome": True}, {"planarconfig": "separate"}])
def test_stacks_of_rgb_are_pages_of_three_channels(options, tmp_path):
    is_planar = "planarconfig" in options
    array = samples(3, 3, H, W) if is_planar else samples(3, H, W, 3)
    axes = {"axes": "ZCYX" if is_planar else "ZYXS"}
    path = written(tmp_path, array, photometric="rgb", metadata=axes, **options)
    assert np.array_equal(pages_of(path), np.moveaxis(array, 1, -1) if is_planar else array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 3, 5, 8])
def test_channels_may_come_last_first_or_side_by_side(channels, dtype, tmp_path):
    array = samples(H, W, channels, dtype=dtype)
    first = np.moveaxis(array, -1, 0)
    for written_array, options in [
        (array, {} if channels != 3 else {"photometric": "rgb"}),
        (array, {"photometric": "minisblack", "planarconfig": "contig"}),
        (first, {"photometric": "minisblack", "planarconfig": "separate"}),
        (first, {"photometric": "minisblack", "metadata": {"axes": "CYX"}}),
    ]:
        path = written(tmp_path, written_array, **options)
        assert np.array_equal(agree(path).pixels, array)


def test_more_than_eight_channels_are_named(tmp_path):
    stack = samples(12, H, W)
    for array, options in [
        (stack, {"photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        (np.moveaxis(stack, 0, -1), {"photometric": "minisblack", "planarconfig": "contig"}),
        (np.moveaxis(stack, 0, -1), {}),
    ]:
        for read in (read_image, read_mask, read_header):
            with pytest.raises(UnreadableFile, match=r"^a\.tif has 12 channels"):
                read(written(tmp_path, array, **options))


CODINGS = [
    {"compression": "lzw"},
    {"compression": "zlib", "predictor": True},
    {"compression": "packbits"},
    {"compression": "zstd"},
    {"compression": "lzma"},
    {"tile": (16, 32), "compression": "lzw"},
    {"tile": (16, 16)},
    {"rowsperstrip": 7},
    {"byteorder": ">"},
    {"byteorder": ">", "compression": "lzw", "predictor": True},
    {"bigtiff": True},
    {"bigtiff": True, "byteorder": ">", "tile": (32, 32)},
]


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_coding_gives_the_samples_back(channels, dtype, coding, tmp_path):
    array = samples(H, W, channels, dtype=np.dtype(dtype))
    layout = {"planarconfig": "contig"} if channels > 1 else {}
    photometric = "rgb" if channels == 3 else "minisblack"
    kept = array if channels > 1 else array[:, :, 0]
    path = written(tmp_path, kept, photometric=photometric, metadata=None, **layout, **coding)
    assert np.array_equal(agree(path).pixels, array)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
def test_other_sample_types_keep_their_values(dtype, tmp_path):
    array = samples(H, W, dtype=np.dtype(dtype))
    raster = read_image(written(tmp_path, array, photometric="minisblack"))
    is_float = np.dtype(dtype).kind == "f"
    wanted = array.astype(np.float32) if is_float or array.min() < 0 else array
    assert raster.pixels.dtype == (np.float32 if (wanted.dtype.kind in "fi" and wanted.min() < 0) or is_float
                                   else np.uint8 if dtype == "i1" else np.uint16)  # fmt: skip
    assert np.array_equal(raster.pixels[:, :, 0], wanted)
    assert read_header(tmp_path / "a.tif").bits == 32


def test_integers_that_do_not_fit_in_16_bits_become_floats_in_pictures_and_errors_in_masks(tmp_path):
    for dtype, number in [(np.int16, -5), (np.int32, 70_000), (np.uint32, 3_000_000_000)]:
        path = written(tmp_path, np.array([[0, number]], dtype))
        assert read_image(path).pixels.ravel().tolist() == [0.0, number]
        with pytest.raises(UnreadableFile, match=r"^a\.tif holds mask values from"):
            read_mask(path)


def test_masks_of_other_sample_types_hold_their_class_numbers(tmp_path):
    labels = RNG.integers(0, 5, (H, W))
    for dtype in (np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64):
        mask = read_mask(written(tmp_path, labels.astype(dtype), photometric="minisblack"))
        assert mask.pixels.dtype == np.uint16
        assert np.array_equal(mask.pixels[:, :, 0], labels)
    assert np.array_equal(read_mask(written(tmp_path, labels == 1)).pixels[:, :, 0], (labels == 1) * 255)
    signed = written(tmp_path, (labels - 1).astype(np.int16), photometric="minisblack")
    assert np.array_equal(read_mask(signed).pixels[:, :, 0], np.where(labels == 0, 255, labels - 1))


TAG = {"extratags": [(42113, "s", 0, "-9999", True)]}  # GDAL's


def test_nan_and_nodata_are_marked_in_pictures_and_zero_in_masks_and_counted(tmp_path):
    array = np.array([[np.nan, 2, np.inf, -9999]], np.float32)
    raster = read_image(written(tmp_path, array, **TAG))
    assert np.array_equal(raster.pixels.ravel(), [np.nan, 2, np.nan, np.nan], equal_nan=True)
    assert (raster.num_invalid, raster.marks) == (3, ("NaN", "infinity", "-9999"))
    assert (read_mask(tmp_path / "a.tif").pixels.ravel().tolist(), read_mask(tmp_path / "a.tif").num_invalid) == (
        [0, 2, 0, 0],
        3,
    )
    raster = read_image(written(tmp_path, np.array([[3, -9999]], np.int16), **TAG))
    assert (raster.pixels.dtype, raster.num_invalid) == (np.uint16, 1)
    assert (raster.pixels.ravel().tolist(), raster.fill) == ([3, 65535], 65535)


def test_nodata_that_could_be_a_class_stays_a_value(tmp_path):
    path = written(tmp_path, np.array([[0.0, 255, 7]], np.float32), extratags=[(42113, "s", 0, "255", True)])
    assert read_mask(path).pixels.ravel().tolist() == [0, 255, 7]
    assert np.array_equal(read_image(path).pixels.ravel(), [0, np.nan, 7], equal_nan=True)


def test_alpha_is_dropped_only_where_it_is_one(tmp_path):
    array = samples(H, W, 4)
    path = written(tmp_path, array, photometric="rgb", extrasamples=["unassalpha"])
    assert (agree(path).mode, agree(path).pixels.shape[2]) == ("RGBA", 3)
    assert np.array_equal(read_mask(path).pixels, array)
    path = written(tmp_path, array, photometric="rgb", extrasamples=["unspecified"])
    assert (agree(path).mode, agree(path).pixels.shape[2]) == ("TIFF uint8 x4", 4)
    with pytest.raises(UnreadableFile, match=r"^a\.tif has 4 channels; a mask has one"):
        read_mask(path)
    deep = written(tmp_path, array.astype(np.uint16), photometric="rgb", extrasamples=["unassalpha"])
    assert agree(deep).mode == "TIFF uint16 x4"
    assert np.array_equal(agree(deep).pixels, array)


def test_pages_of_other_sizes_and_reduced_copies_do_not_count(tmp_path):
    large = samples(3, H, W)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(samples(H // 4, W // 4), subfiletype=1, metadata=None)
        for picture in large:
            writer.write(picture, metadata=None)
        writer.write(samples(H, W) > 100, subfiletype=4, metadata=None, photometric="minisblack")
    assert np.array_equal(pages_of(tmp_path / "a.tif"), large[..., None])


def test_pages_written_by_pillow_are_pages_in_every_mode(tmp_path):
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F"):
        pictures = [Image.fromarray(samples(H, W, 3)).convert("L").convert(mode) for _ in range(3)]
        pictures[0].save(tmp_path / "a.tif", save_all=True, append_images=pictures[1:])
        assert len(pages_of(tmp_path / "a.tif")) == 3
        for page, picture in enumerate(pictures):
            kind = mode if mode in ("I;16", "F") else "L" if mode in ("1", "L", "P") else "RGB"
            wanted = np.asarray(picture.convert(kind)).reshape(H, W, -1)
            assert np.array_equal(agree(tmp_path / "a.tif", page).pixels, wanted)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_lzw", "packbits", "jpeg", "raw"])
def test_what_libtiff_codes_is_read_as_pillow_reads_it(compression, tmp_path):
    mode = "1" if "group" in compression else "RGB"
    Image.fromarray(samples(H, W, 3)).convert(mode).save(tmp_path / "a.tif", compression=compression)
    with Image.open(tmp_path / "a.tif") as picture:
        wanted = np.asarray(picture.convert("L" if mode == "1" else "RGB")).reshape(H, W, -1)
    assert np.array_equal(agree(tmp_path / "a.tif").pixels, wanted)
    assert agree(tmp_path / "a.tif").is_lossy == (compression == "jpeg")


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_few_bits_are_stretched_to_255_as_pillow_does(bits, photometric, tmp_path):
    array = samples(H, W + 1) % 2**bits  # lines that do not end on a byte
    kept = array.astype(bool) if bits == 1 else array
    path = written(tmp_path, kept, photometric=photometric, bitspersample=bits, software="a scanner")
    with Image.open(path) as picture:
        wanted = np.asarray(picture.convert("L"))
    assert set(np.unique(wanted)) == set(range(0, 256, 255 // (2**bits - 1)))
    assert np.array_equal(agree(path).pixels[:, :, 0], wanted)


def test_palettes_of_8_and_16_bit_colours_give_the_same_colours(tmp_path):
    array = samples(H, W) % 3
    colours = np.zeros((3, 256), np.uint16)
    colours[:, :3] = [[0, 255, 9], [0, 128, 9], [0, 1, 200]]
    for scale in (1, 257):
        path = written(tmp_path, array, photometric="palette", colormap=colours * np.uint16(scale))
        assert np.array_equal(agree(path).pixels, colours.T[array])
        mask = read_mask(path)
        assert (mask.mode, mask.palette[:3]) == ("P", (0, 0xFF8001, 0x0909C8))
        assert np.array_equal(mask.pixels[:, :, 0], array)


def test_colours_that_were_multiplied_by_alpha_are_read_as_pillow_reads_them(tmp_path):
    array = samples(H, W, 4)
    array[..., :3] = np.minimum(array[..., :3], array[..., 3:])
    path = written(tmp_path, array, photometric="rgb", extrasamples=["assocalpha"])
    with Image.open(path) as picture:
        assert np.array_equal(agree(path).pixels, np.asarray(picture.convert("RGBA"))[..., :3])
        assert np.array_equal(read_mask(path).pixels, np.asarray(picture.convert("RGBA")))


def test_white_is_zero_is_shown_the_right_way(tmp_path):
    array = samples(H, W)
    assert np.array_equal(agree(written(tmp_path, array, photometric="miniswhite")).pixels[:, :, 0], 255 - array)
    path = written(tmp_path, array > 100, photometric="miniswhite", software="a fax")
    assert np.array_equal(agree(path).pixels[:, :, 0], np.where(array > 100, 0, 255))


def test_white_is_zero_does_not_change_which_number_a_mask_holds(tmp_path):
    array = samples(H, W) % 5
    for bits in (8, 16):
        path = written(tmp_path, array.astype(f"u{bits // 8}"), photometric="miniswhite")
        assert np.array_equal(read_mask(path).pixels[:, :, 0], array)
    path = written(tmp_path, array % 4, photometric="miniswhite", bitspersample=2)
    assert np.array_equal(read_mask(path).pixels[:, :, 0], array % 4 * 85)
    path = written(tmp_path, array > 2, photometric="miniswhite", software="a fax")
    assert np.array_equal(read_mask(path).pixels[:, :, 0], np.where(array > 2, 255, 0))


def test_booleans_written_by_tifffile_are_true_where_they_were_true(tmp_path):
    array = samples(H, W) > 100  # tifffile declares them white is zero, and other readers turn them around
    for options in ({}, {"metadata": None}, {"compression": "zlib"}, {"photometric": "minisblack"}):
        path = written(tmp_path, array, **options)
        for raster in (agree(path), read_mask(path)):
            assert np.array_equal(raster.pixels[:, :, 0], array * np.uint8(255))


def test_a_compression_that_is_not_read_is_named(tmp_path):
    path = written(tmp_path, samples(H, W), compression="jpeg2000")
    with pytest.raises(UnreadableFile, match=r"^a\.tif is compressed by .*LZW"):
        read_image(path)


def test_complex_numbers_and_volumes_are_refused_with_words(tmp_path):
    for path in (written(tmp_path, np.zeros((H, W), np.complex64)),
                 written(tmp_path, samples(16, 32, 32), volumetric=True, tile=(16, 16, 16))):  # fmt: skip
        with pytest.raises(UnreadableFile, match=r"^a\.tif holds samples of a kind"):
            read_image(path)


CUTTABLE = [{}, {"rowsperstrip": 3}, {"compression": "zlib"}, {"compression": "lzw"}, {"compression": "packbits"}]


@pytest.mark.parametrize("options", [*CUTTABLE, {"tile": (16, 16)}], ids=str)
def test_a_file_that_is_cut_off_is_never_half_read(options, tmp_path):
    path = written(tmp_path, samples(H, W, dtype=np.uint16), **options)
    content = path.read_bytes()
    for kept in np.linspace(8, len(content) - 40, 25).astype(int).tolist():
        with pytest.raises(UnreadableFile, match=r"^a\.tif"):
            read_image(path, content=content[:kept])


def test_the_size_of_a_decoded_page_is_capped_in_bytes(tmp_path, monkeypatch):
    path = written(tmp_path, samples(H, W, 5, dtype=np.uint16), photometric="minisblack", planarconfig="contig")
    assert agree(path).pixels.nbytes == H * W * 10
    monkeypatch.setattr(tiff, "MAX_BYTES", H * W * 10 - 1)
    with pytest.raises(UnreadableFile, match=r"^a\.tif takes .* MB when decoded \(50×40 px, 5 channels of uint16\)"):
        read_image(path)


def test_nothing_is_written_to_the_log(tmp_path, caplog):
    path = written(tmp_path, samples(H, W), extratags=[(42113, "s", 0, "none", True)])
    with caplog.at_level(logging.WARNING):
        logging.getLogger("tifffile").setLevel(logging.NOTSET)
        read_image(path)
    assert not caplog.records
