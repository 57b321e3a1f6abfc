"""Layouts and encodings that people really have, made from generated pictures: what an import makes of each."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data import drops
from tests.data.drops import (
    HEIGHT,
    WIDTH,
    Drop,
    binary,
    disc,
    grey,
    masks_encoded,
    pairs_named,
    photo,
    pictures_encoded,
    save,
    write,
)
from unetlab.data import changes
from unetlab.data.dataset import IGNORE, open_dataset
from unetlab.data.importing import import_dataset
from unetlab.errors import DataError
from unetlab.workspace import own_workspace


def plain(number: int) -> np.ndarray:
    return disc(number)


def some_white_is_zero(ids: np.ndarray, path: Path) -> None:
    tifffile.imwrite(path, ids, photometric="miniswhite" if int(path.stem) % 2 else "minisblack")


def three(number: int) -> np.ndarray:
    return disc(number, classes=3)


def four(number: int) -> np.ndarray:
    return disc(number, classes=4)


def same(image: str, mask: str, **options) -> Drop:
    return Drop(f"{image} + {mask}", pairs_named(image, mask), maps=plain, **options)


def mask_as(name: str, encode, **options) -> Drop:
    suffix, classes = options.pop("suffix", ".png"), options.get("classes", 2)
    maps = options.pop("maps", {2: plain, 3: three, 4: four}[classes])
    return Drop(f"mask {name}", masks_encoded(encode, suffix=suffix, classes=classes), maps=maps, **options)


def picture_as(name: str, encode, *, suffix: str = ".png", **options) -> Drop:
    return Drop(f"picture {name}", pictures_encoded(encode, suffix=suffix), maps=plain, **options)


def saved(ids_to_pixels):
    """An encoder of masks: what `ids_to_pixels` gives, saved by the suffix."""
    return lambda ids, path: save(path, ids_to_pixels(ids))


def with_orphans(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png")(folder)
    (folder / "masks" / "2.png").unlink()
    (folder / "images" / "4.png").unlink()


def with_typo(folder: Path) -> None:
    pairs_named("images/cell_{n}.png", "masks/cell_{n}.png")(folder)
    (folder / "masks" / "cell_3.png").rename(folder / "masks" / "cel_3.png")


def two_patients(folder: Path) -> None:
    for patient in ("anna", "bert"):
        for number in range(3):
            shown = number + (3 if patient == "bert" else 0)
            save(folder / patient / "images" / f"{number}.png", photo(shown))
            save(folder / patient / "masks" / f"{number}.png", binary(shown))


def with_table(folder: Path) -> None:
    rows = ["image,mask"]
    for number in range(6):
        save(folder / "a" / f"p{number}.png", photo(number))
        save(folder / "b" / f"q{9 - number}.png", binary(number))
        rows.append(f"p{number}.png,q{9 - number}.png")
    write(folder / "pairs.csv", "\n".join(rows))


def with_valid_list(folder: Path) -> None:
    pairs_named("images/{n}.png", "labels/{n}_P.png")(folder)
    write(folder / "valid.txt", "1.png\n4.png\n")
    write(folder / "codes.txt", "Sky\nRoad\n")


def with_duplicates(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png")(folder)
    for part in ("images", "masks"):
        (folder / part / "copy.png").write_bytes((folder / part / "0.png").read_bytes())


def with_contradiction(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png")(folder)
    (folder / "images" / "again.png").write_bytes((folder / "images" / "0.png").read_bytes())
    save(folder / "masks" / "again.png", binary(5))


def with_empty_and_constant(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png", count=8)(folder)
    save(folder / "masks" / "1.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    save(folder / "images" / "6.png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))


def half_size_masks(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png")(folder)
    for number in range(6):
        small = Image.fromarray(binary(number)).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST)
        small.save(folder / "masks" / f"{number}.png")


def one_of_other_size(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png", count=7)(folder)
    save(folder / "masks" / "3.png", binary(3)[:30])


def with_stray(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png")(folder)
    mask = binary(2)
    mask[0, :4] = 3
    save(folder / "masks" / "2.png", mask)


def frames(folder: Path) -> None:
    pairs_named("images/film_{n:04}.png", "masks/film_{n:04}.png", count=40)(folder)


def truncated(folder: Path) -> None:
    pairs_named("images/{n}.png", "masks/{n}.png", count=7)(folder)
    path = folder / "images" / "5.png"
    path.write_bytes(path.read_bytes()[:200])


def instance_ids(folder: Path) -> None:
    for number in range(6):
        save(folder / "images" / f"{number}.png", photo(number))
        ids = np.zeros((HEIGHT, WIDTH), np.uint16)
        for index in range(8 + 3 * number):
            top, left = divmod(index * 5, WIDTH - 5)
            ids[2 * (top % 22) + 2 : 2 * (top % 22) + 5, left : left + 3] = index + 1
        save(folder / "masks" / f"{number}.png", ids)


def deep_tiff(number: int, path: Path) -> None:
    tifffile.imwrite(path, (grey(number).astype(np.uint16) * 9 + 40), photometric="minisblack", compression="lzw")


def four_channels(number: int, path: Path) -> None:
    pixels = np.concatenate([photo(number), grey(number)[:, :, None]], axis=2)
    tifffile.imwrite(path, pixels.astype(np.uint16) * 3, photometric="minisblack", planarconfig="contig")


CASES = [
    # how names say what belongs together
    same("images/{n}.png", "masks/{n}.png"),
    same("{n}.png", "{n}_mask.png"),
    same("{n}.jpg", "{n}.png"),
    same("img_{n}.jpg", "mask_{n}.png"),
    same("cell ({n}).png", "cell ({n}) mask.png"),
    same("scan.{n}.v2.png", "scan.{n}.v2.label.png"),
    same("Images/{n:03}.jpg", "Masks/{n:03}_label.PNG"),
    same("input/{n}_sat.jpg", "input/{n}_mask.png"),
    same("data/{n:04}_rgb_a.png", "data/{n:04}_annot_b.png"),
    same("ISIC_{n:07}.jpg", "ISIC_{n:07}_segmentation.png"),
    same("IMAGES/Größe{n}.png", "masks/" + unicodedata.normalize("NFD", "größe{n}") + ".png"),
    Drop("1 beside 11", pairs_named("images/1{n}.png", "masks/1{n}.png", count=12), pairs=12, maps=None),
    Drop("two folders with the same names", two_patients, maps=plain),
    Drop("a table of pairs", with_table, maps=plain),
    Drop("orphans on both sides", with_orphans, pairs=4, unmatched=(1, 1), codes=frozenset({"image-without-mask"})),
    Drop("a typo", with_typo, pairs=5, unmatched=(1, 1), codes=frozenset({"near-miss"})),
    Drop("junk around", drops.junk, maps=plain, codes=frozenset({"ignored-files"})),
    # layouts with a name
    Drop("PASCAL VOC", drops.voc, classes=4, splits={"train": 4, "valid": 2}, unmatched=(2, 0)),
    Drop(
        "CamVid",
        drops.camvid,
        pairs=10,
        classes=3,
        names=("Sky", "Road", "Tree"),
        splits={"train": 6, "valid": 2, "test": 2},
    ),
    Drop("Cityscapes", drops.cityscapes, classes=3, splits={"train": 4, "valid": 2}),
    Drop("a folder per picture, a mask per object", drops.objects, codes=frozenset()),
    Drop("COCO polygons", drops.coco, names=("background", "nucleus")),
    Drop("fast.ai: codes.txt and valid.txt", with_valid_list, classes=2, splits={"train": 4, "valid": 2}),
    # how masks say what is what
    mask_as("0 and 1", saved(lambda ids: ids)),
    mask_as("black and white", lambda ids, path: Image.fromarray(ids * 255).convert("1").save(path)),
    mask_as("1 and 2", saved(lambda ids: ids + 1)),
    mask_as("0, 127, 255", saved(lambda ids: np.array([0, 127, 255], np.uint8)[ids]), classes=3),
    mask_as("ids with gaps", saved(lambda ids: np.array([0, 3, 7, 8], np.uint8)[ids]), classes=4),
    mask_as("palette", drops.palette_mask, classes=4, names=("background", "aeroplane", "bicycle", "bird")),
    mask_as(
        "RGB colours",
        lambda ids, path: drops.colour_mask(ids, path, (0, 0xFF0000, 0x00FF00, 0x0000FF)),
        classes=4,
        maps=None,
    ),
    mask_as("grey as RGB", saved(lambda ids: np.repeat(ids[:, :, None] * 255, 3, axis=2))),
    mask_as("alpha only", drops.alpha_mask),
    mask_as("RGBA", saved(lambda ids: np.dstack([*[ids * 255] * 3, np.full_like(ids, 255)]))),
    mask_as("16 bit 0 and 65535", saved(lambda ids: ids.astype(np.uint16) * 65535)),
    mask_as("JPEG", lambda ids, path: save(path, ids * 255, quality=70), suffix=".jpg"),
    mask_as(
        "JPEG in colour",
        lambda ids, path: drops.colour_mask(ids, path, quality=95),
        suffix=".jpg",
        classes=4,
        maps=None,
    ),
    mask_as("anti-aliased", drops.smooth_mask, maps=None),
    mask_as("float TIFF", lambda ids, path: tifffile.imwrite(path, ids.astype(np.float32)), suffix=".tif"),
    mask_as("TIFF, every second one white-is-zero", some_white_is_zero, suffix=".tif", classes=3),
    mask_as("GIF", lambda ids, path: Image.fromarray(ids * 255).save(path), suffix=".gif"),
    mask_as("inverted", saved(lambda ids: (1 - ids) * 255), maps=lambda n: 1 - plain(n)),
    Drop("instance ids", instance_ids, classes=2),
    Drop("a stray value", with_stray, classes=2, codes=frozenset({"reading"})),
    # pictures
    picture_as("grey", lambda n, path: save(path, grey(n))),
    picture_as("with alpha", lambda n, path: save(path, np.dstack([photo(n), grey(n)]))),
    picture_as("16 bit TIFF, LZW", deep_tiff, suffix=".tif"),
    picture_as("four channels", four_channels, suffix=".tif"),
    picture_as("float", lambda n, path: tifffile.imwrite(path, grey(n) / np.float32(255)), suffix=".tif"),
    picture_as("CMYK", lambda n, path: Image.fromarray(photo(n)).convert("CMYK").save(path), suffix=".jpg"),
    picture_as("palette", lambda n, path: Image.fromarray(photo(n)).quantize(64).save(path)),
    picture_as("BMP", lambda n, path: save(path, photo(n)), suffix=".bmp"),
    picture_as("WebP", lambda n, path: save(path, photo(n)), suffix=".webp"),
    Drop("EXIF rotation", drops.rotated, maps=plain),
    Drop("a stack of pages", drops.stack, maps=plain, codes=frozenset({"pages"})),
    # what the audit says
    Drop("masks at half the size", half_size_masks, codes=frozenset({"mask-scaled"})),
    Drop("one mask of another size", one_of_other_size, codes=frozenset({"sizes-differ"})),
    Drop("the same picture twice", with_duplicates, pairs=7, codes=frozenset({"duplicate-images"})),
    Drop("one picture, two masks", with_contradiction, pairs=7, codes=frozenset({"contradicting-masks"})),
    Drop(
        "an empty mask and a constant picture",
        with_empty_and_constant,
        pairs=8,
        codes=frozenset({"empty-mask", "constant-image"}),
    ),
    Drop("frames of a film", frames, pairs=40, codes=frozenset({"sequence"})),
    Drop("a cut-off file", truncated, codes=frozenset({"unreadable"})),
    # what is refused, with its sentence
    Drop(
        "swapped folders",
        pairs_named("images/{n}.png", "masks/{n}.png", picture=binary, label=photo),
        refused="looks like masks",
    ),
    Drop(
        "masks all black",
        pairs_named("images/{n}.png", "masks/{n}.png", label=lambda n: 0 * binary(n)),
        refused="only the value 0",
    ),
    Drop("no masks", pairs_named("a/{n}.png", "b/x{n}.png", label=photo, count=3), refused="No picture has a mask"),
    Drop("one pair", pairs_named("images/{n}.png", "masks/{n}.png", count=1), refused="at least 2"),
]


def exif_turned(folder: Path, orientation: int, undo: Image.Transpose, *, is_mask_raw: bool) -> None:
    """Photographs stored turned, with the tag that turns them back; masks as shown, or as stored."""
    for number in range(6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(photo(number)).transpose(undo).save(folder / "images" / f"{number}.jpg", exif=exif)
        mask = Image.fromarray(binary(number))
        save(folder / "masks" / f"{number}.png", np.asarray(mask.transpose(undo) if is_mask_raw else mask))


def test_masks_drawn_on_pictures_as_stored_are_turned_with_them(tmp_path: Path):
    exif_turned(tmp_path, 6, Image.Transpose.ROTATE_90, is_mask_raw=True)
    manifest = import_dataset(own_workspace(), [tmp_path], name="set")
    assert "mask-turned-too" in {finding.code for finding in manifest.findings}
    data = open_dataset(own_workspace(), "set")
    assert all(np.array_equal(data.mask(index), plain(index)) for index in range(6))


@pytest.mark.parametrize("is_mask_raw", [False, True])
def test_where_sizes_cannot_tell_one_click_turns_the_masks(tmp_path: Path, is_mask_raw: bool):
    exif_turned(tmp_path, 3, Image.Transpose.ROTATE_180, is_mask_raw=is_mask_raw)
    manifest = import_dataset(own_workspace(), [tmp_path], name="set")
    (told,) = (finding for finding in manifest.findings if finding.code == "exif-rotation")
    if is_mask_raw:
        before = manifest.content_hash
        assert changes.revise(open_dataset(own_workspace(), "set").folder, told.fixes[0].change).content_hash != before
    data = open_dataset(own_workspace(), "set")
    assert all(np.array_equal(data.mask(index), plain(index)) for index in range(6))


def test_validation_pictures_alone_are_divided(tmp_path: Path):
    for number in range(10):
        save(tmp_path / "images" / "val" / f"{number}.png", photo(number))
        save(tmp_path / "masks" / "val" / f"{number}.png", binary(number))
    manifest = import_dataset(own_workspace(), [tmp_path], name="set")
    assert [pair.split for pair in manifest.pairs].count("valid") == 2
    assert not manifest.is_given_split


def test_there_are_forty_layouts_and_more_each_of_its_own_name():
    assert len({case.name for case in CASES}) == len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_drop_is_imported_as_it_is_meant(case: Drop, tmp_path: Path):
    folder = tmp_path / "drop"
    folder.mkdir()
    case.build(folder)
    if case.refused:
        with pytest.raises(DataError, match=case.refused):
            import_dataset(own_workspace(), [folder], name="set")
        return
    manifest = import_dataset(own_workspace(), [folder], name="set", **case.options)
    data = open_dataset(own_workspace(), "set")
    told = {finding.code for finding in manifest.findings}
    assert len(manifest.pairs) == case.pairs, manifest.findings
    assert data.num_classes == case.classes, manifest.reading
    assert case.codes <= told
    assert (len(manifest.unmatched_images), len(manifest.unmatched_masks)) == case.unmatched
    if case.names:
        assert tuple(data.class_names) == tuple(case.names)
    if case.splits:
        assert {split: len(data.indices(split)) for split in case.splits} == case.splits
    if case.maps:
        for index in range(len(manifest.pairs)):
            assert np.array_equal(data.mask(index), case.maps(index)), manifest.pairs[index]
    for index, pair in enumerate(manifest.pairs):
        image = data.image(index)
        assert image.shape == (pair.height, pair.width, data.channels)
        assert 0 <= image.min() <= image.max() <= 1
        ids = np.unique(data.mask(index))
        assert set(ids.tolist()) <= {*range(data.num_classes), IGNORE}


@pytest.mark.parametrize("case", CASES[:12], ids=lambda case: case.name)
def test_the_picture_beside_a_mask_is_the_right_one(case: Drop, tmp_path: Path):
    case.build(tmp_path)
    import_dataset(own_workspace(), [tmp_path], name="set")
    data = open_dataset(own_workspace(), "set")
    for index in range(len(data.manifest.pairs)):
        shown = np.round(data.image(index) * 255)
        nearest = min(range(12), key=lambda number: float(np.abs(shown - photo(number)).mean()))
        assert np.array_equal(data.mask(index) > 0, disc(nearest) > 0)
