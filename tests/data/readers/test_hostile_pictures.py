"""Oracle: whatever bytes come, a valid Raster or UnreadableFile naming the file; soon and in silence."""

import io
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from unetlab.data.readers.images import measure_image, read_header, read_image, read_mask
from unetlab.errors import UnreadableFile

NAME = Path("nowhere") / "stranger.tif"
NUM_MUTATIONS = 250  # per family of mutations; two families
LIMIT_S = 5.0
RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 256, (24, 32), np.uint8)
RGB = RNG.integers(0, 256, (24, 32, 3), np.uint8)


def by_pillow(array, kind, mode=None, **options):
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def by_tifffile(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def seeds():
    exif = Image.Exif()
    exif[0x0112] = 6
    stack = np.stack([GREY] * 3)
    return [
        by_pillow(GREY, "PNG"),
        by_pillow(RGB, "PNG", exif=exif),
        by_pillow(RGB, "PNG", "P"),
        imagecodecs.png_encode(RGB.astype(np.uint16) * 257),
        by_pillow(RGB, "JPEG", exif=exif),
        by_pillow(RGB, "JPEG", "CMYK"),
        by_pillow(RGB, "TIFF", compression="jpeg"),
        by_pillow(RGB, "TIFF", "P", compression="tiff_lzw"),
        by_pillow(GREY > 100, "TIFF", compression="group4"),
        by_tifffile(RGB.astype(np.uint16), photometric="rgb", compression="lzw", predictor=True),
        by_tifffile(np.stack([GREY] * 6), planarconfig="separate", photometric="minisblack", tile=(16, 16)),
        by_tifffile(stack, imagej=True, metadata={"axes": "CYX"}),
        by_tifffile(stack, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack"),
        by_tifffile(GREY.astype(np.float32), bigtiff=True, compression="zlib", rowsperstrip=5),
    ]


def mutated(content, rng):
    """Bytes with flips, a cut, a doubled or inserted part, or a number overwritten by an extreme one."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(0, len(data)))
        kind = int(rng.integers(0, 6))
        if kind == 0:
            data[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[place] = int(rng.integers(0, 256))
        elif kind == 2:
            data[place : place + 4] = struct.pack("<I", int(rng.choice([0, 1, 2**16, 2**31 - 1, 2**32 - 1])))
        elif kind == 3:
            data[place:place] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 4:
            data[place : place + 8] = data[:8]
        elif place > 16:
            del data[place : place + int(rng.choice([1, 4, len(data)]))]
    return bytes(data)


def with_edited_head(content, rng):
    """Bytes with one number of a TIFF directory, a PNG chunk or a JPEG marker changed, where such numbers lie."""
    data = bytearray(content)
    if data[:2] == b"II":
        is_big = data[2] == 43
        (first,) = struct.unpack_from("<Q" if is_big else "<I", data, 8 if is_big else 4)
        count_size, tag_size = (8, 20) if is_big else (2, 12)
        num_tags = int.from_bytes(data[first : first + count_size], "little")
        tag = first + count_size + tag_size * int(rng.integers(0, num_tags + 1))  # one behind the last is the link
        place = tag + int(rng.choice([0, 2, 4, 8]))
        number = int(rng.choice([0, 1, 2, 3, 5, 16, 100, first, 65535, 10**6, 10**9, 2**32 - 1]))
        data[place : place + 4] = struct.pack("<I", number)
        return bytes(data)
    if data[1:4] == b"PNG":
        place = 8
        for _ in range(int(rng.integers(0, 3))):
            place = min(place + 12 + int.from_bytes(data[place : place + 4]), len(data) - 12)
        if rng.random() < 0.5:
            data[place : place + 4] = struct.pack(">I", int(rng.choice([0, 1, 5, 10**6, 2**31, 2**32 - 1])))
        else:
            data[16 + int(rng.integers(0, 13))] = int(rng.integers(0, 256))
            data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))  # so that Pillow believes it
        return bytes(data)
    markers = [place for place in range(len(data) - 4) if data[place] == 0xFF and data[place + 1] not in (0, 0xFF)]
    place = int(rng.choice(markers)) + int(rng.integers(1, 10))
    data[place] = int(rng.integers(0, 256))
    return bytes(data)


def check(content):
    """True when the bytes could be read. A valid Raster or an error that begins with the name; in time."""
    outcomes = []
    for read in (read_image, read_mask):
        start = time.process_time()
        try:
            raster = read(NAME, content=content)
        except UnreadableFile as error:
            outcomes.append(False)
            words = str(error)
        else:
            assert raster.pixels.ndim == 3
            assert min(raster.pixels.shape) >= 1
            assert raster.pixels.shape[2] <= 8
            assert raster.pixels.dtype in (np.uint8, np.uint16, np.float32)
            assert raster.pages >= 1
            if read is read_image and raster.pixels.size < 10**6:
                assert measure_image(raster).num_levels >= 1
            outcomes.append(True)
            words = "stranger.tif was read"
        assert words.startswith("stranger.tif ")
        assert "\n" not in words
        assert time.process_time() - start < LIMIT_S
    return outcomes[0]


@pytest.mark.parametrize("mutate", [mutated, with_edited_head])
def test_mutated_files_are_read_or_refused(mutate, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    contents = seeds()
    assert all(check(content) for content in contents)
    outcomes = [check(mutate(contents[number % len(contents)], rng)) for number in range(NUM_MUTATIONS)]
    assert 0.05 < np.mean(outcomes) < 0.95  # both ways were taken, or the mutations are too weak or too strong
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_a_png_that_claims_60000_by_60000_pixels_is_refused_before_memory_is_taken(tmp_path):
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    content += struct.pack(">I", 10) + b"IDAT" + zlib.compress(b"")[:10] + b"\0" * 6
    with pytest.raises(UnreadableFile, match=r"^stranger\.tif has .* million pixels"):
        read_image(NAME, content=content)


def tiff_of(tags, *, link=0, tail=b""):
    """A little-endian TIFF of one directory at byte 8. tags: (code, type, count, number)."""
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    return head + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags)) + struct.pack("<I", link) + tail


def plain_tags(width=16, height=16, bits=8, strip=200, num_bytes=256):
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 4, 1, strip), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, num_bytes)]  # fmt: skip


def replaced(tags, code, *entry):
    return [tag for tag in tags if tag[0] != code] + [(code, *entry)]


def jpeg_claiming(height, width):
    content = bytearray(by_pillow(GREY, "JPEG"))
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(content)


TAIL = bytes(range(256)) * 2
HOSTILE = {
    "60000x60000 px": tiff_of(plain_tags(60_000, 60_000), tail=TAIL),
    "a directory that follows itself": tiff_of(plain_tags(), link=8, tail=TAIL),
    "a billion strips": tiff_of(replaced(plain_tags(), 273, 4, 10**9, 200), tail=TAIL),
    "a billion samples a pixel": tiff_of(replaced(plain_tags(), 277, 4, 1, 10**9), tail=TAIL),
    "a billion bits a sample": tiff_of(replaced(plain_tags(), 258, 4, 1, 10**9), tail=TAIL),
    "no pixels": tiff_of(plain_tags(0, 16), tail=TAIL),
    "pixels beyond the end": tiff_of(plain_tags(strip=10**6), tail=TAIL),
    "a strip of 3 GB": tiff_of(replaced(plain_tags(num_bytes=3 * 10**9), 259, 3, 1, 5), tail=TAIL),
    "three of four strips": tiff_of(
        replaced(replaced(replaced(plain_tags(), 273, 3, 3, 134), 279, 3, 3, 140), 278, 3, 1, 4),
        tail=b"\0" * 12 + struct.pack("<6H", 160, 230, 300, 64, 64, 64) + TAIL,
    ),
    "huge tiles": tiff_of(
        [*plain_tags(), (322, 4, 1, 10**6), (323, 4, 1, 10**6), (324, 4, 1, 200), (325, 4, 1, 256)], tail=TAIL
    ),
    "a JPEG of 60000x60000 px inside": tiff_of(
        replaced(plain_tags(strip=134, num_bytes=len(jpeg_claiming(60_000, 60_000))), 259, 3, 1, 7),
        tail=b"\0" * 12 + jpeg_claiming(60_000, 60_000),
    ),
    "65535 tags": b"II*\0\x08\0\0\0\xff\xff" + TAIL,
    "no directory": b"II*\0\0\0\0\0" + TAIL,
    "four thousand copies of one tag": tiff_of(
        [*plain_tags(), *[(700, 1, 40_000, 60)] * 4000], tail=TAIL
    ),
    "a stack of 10^21 slices": tiff_of(
        [*plain_tags(strip=256), (270, 2, 70, 140)],
        tail=b"ImageJ=1\nframes=9999999\nslices=9999999\nchannels=9999999\n".ljust(400, b"\0"),
    ),
    "a long circle of directories": b"II*\0\x08\0\0\0"
    + b"".join(
        struct.pack("<HHHIII", 1, 256, 4, 1, 16, 8 + 18 * (number + 1 if number < 499 else 250))
        for number in range(500)
    ),
}  # fmt: skip


BEHIND_THE_HEADER = {
    "a stack of 10^21 slices",
    "pixels beyond the end",
    "huge tiles",
    "a strip of 3 GB",
    "three of four strips",
    "a billion strips",
    "a JPEG of 60000x60000 px inside",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_tiffs_that_claim_too_much_are_refused_at_once_and_cost_no_memory(kind, tmp_path):
    content, path = HOSTILE[kind], tmp_path / NAME.name
    path.write_bytes(content)
    tracemalloc.start()
    start = time.process_time()
    try:
        for read in (read_image, read_mask):
            for known in (None, content):
                if kind.startswith("a stack"):
                    assert read(path, content=known).pages == 1
                else:
                    with pytest.raises(UnreadableFile, match=r"^stranger\.tif "):
                        read(path, content=known)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 1
    assert peak < 20_000_000
    if kind not in BEHIND_THE_HEADER:
        with pytest.raises(UnreadableFile, match=r"^stranger\.tif "):
            read_header(path)


def test_a_file_that_names_other_files_reads_only_itself(tmp_path):
    first = tmp_path / "a.ome.tif"
    tifffile.imwrite(tmp_path / "b.ome.tif", GREY)
    xml = (
        '<OME UUID="urn:uuid:1"><Image><Pixels DimensionOrder="XYZCT" SizeX="32" SizeY="24" SizeZ="2" SizeC="1" '
        'SizeT="1" Type="uint8"><TiffData IFD="0" FirstZ="1"><UUID FileName="b.ome.tif">urn:uuid:2</UUID></TiffData>'
        '<TiffData IFD="0"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(first, GREY, description=xml, metadata=None)
    raster = read_image(first)
    assert raster.pages == 1
    assert np.array_equal(raster.pixels[:, :, 0], GREY)


def test_a_strip_that_ends_beyond_the_file_is_not_filled_up():
    strips = struct.pack("<IIII", 400, 200, 128, 128)  # two offsets, not in order, then two lengths
    tags = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 2, 150),
            (277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 2, 158)]  # fmt: skip
    content = tiff_of(tags).ljust(150, b"\0") + strips
    assert read_image(NAME, content=content.ljust(528, b"\7")).pixels.min() == 7
    for length in (500, 512):  # 512: the lines that are there are whole
        with pytest.raises(UnreadableFile, match=r"^stranger\.tif is damaged or cut off"):
            read_image(NAME, content=content.ljust(length, b"\7"))


def test_a_deflate_bomb_in_a_strip_decodes_no_further_than_the_picture(tmp_path):
    bomb = zlib.compress(bytes(50_000_000), 1)
    tags = replaced(plain_tags(strip=134, num_bytes=len(bomb)), 259, 3, 1, 8)
    tracemalloc.start()
    try:
        raster = read_image(NAME, content=tiff_of(tags, tail=b"\0" * 12 + bomb))
        peak = tracemalloc.get_traced_memory()[1]
    except UnreadableFile:
        peak = tracemalloc.get_traced_memory()[1]
    else:
        assert raster.pixels.shape == (16, 16, 1)
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
