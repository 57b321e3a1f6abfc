"""Drops as people have them, made from generated pictures: builders that fill a folder, and what must come out."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageFilter

HEIGHT, WIDTH = 48, 40
VOC = (0x000000, 0x800000, 0x008000, 0x808000)


@dataclass(frozen=True)
class Drop:
    """A builder, and what its import must give. None: not looked at."""

    name: str
    build: Callable[[Path], Any]
    pairs: int | None = 6
    classes: int | None = 2
    names: Sequence[str] | None = None
    maps: Callable[[int], np.ndarray] | None = None  # class ids of pair number n, when the map must come back
    codes: frozenset[str] = frozenset()
    unmatched: tuple[int, int] = (0, 0)
    options: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, int] | None = None
    refused: str | None = None  # words of the sentence with which it is refused


def photo(number: int, *, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A picture (H,W,3) uint8 that no other looks like."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(30, 220, (6, 5, 3)).astype(np.uint8)
    picture = Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 6, (*size, 3))
    return np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)


def grey(number: int) -> np.ndarray:
    """A grey picture (H,W) uint8."""
    return photo(number)[:, :, 0]


def disc(number: int, *, classes: int = 2) -> np.ndarray:
    """Class ids (H,W) uint8: bands of class 1 to K-1 on background, elsewhere for each number."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for index in range(1, classes):
        top = (5 * number + 9 * index) % (HEIGHT - 10)
        ids[top : top + 7, 3 * index : 3 * index + 12] = index
    return ids


def binary(number: int) -> np.ndarray:
    """The same as a black and white mask: 0 and 255."""
    return disc(number) * np.uint8(255)


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """Writes a picture; the suffix says how."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def pairs_named(
    image: str, mask: str, *, count: int = 6, picture: Callable = photo, label: Callable = binary
) -> Callable[[Path], None]:
    """A builder from two patterns with {n}."""

    def build(folder: Path) -> None:
        for number in range(count):
            save(folder / image.format(n=number), picture(number))
            save(folder / mask.format(n=number), label(number))

    return build


def masks_encoded(encode: Callable[[np.ndarray, Path], Any], *, suffix: str = ".png", classes: int = 2) -> Callable:
    """A builder of images/N.png and masks/N.suffix, each mask written by `encode(class ids, path)`."""

    def build(folder: Path) -> None:
        for number in range(6):
            save(folder / "images" / f"{number}.png", photo(number))
            path = folder / "masks" / f"{number}{suffix}"
            path.parent.mkdir(exist_ok=True)
            encode(disc(number, classes=classes), path)

    return build


def pictures_encoded(encode: Callable[[int, Path], Any], *, suffix: str = ".png") -> Callable[[Path], None]:
    """A builder of images/N.suffix, each written by `encode(number, path)`, and masks/N.png."""

    def build(folder: Path) -> None:
        for number in range(6):
            path = folder / "images" / f"{number}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            encode(number, path)
            save(folder / "masks" / f"{number}.png", binary(number))

    return build


def palette_mask(ids: np.ndarray, path: Path, colors: Sequence[int] = VOC) -> None:
    """Indices with a palette."""
    picture = Image.fromarray(ids)
    table = [channel for color in colors for channel in (color >> 16, color >> 8 & 255, color & 255)]
    picture = picture.convert("P")
    picture.putdata(ids.ravel().tolist())
    picture.putpalette(table + [0] * (768 - len(table)))
    picture.save(path)


def colour_mask(ids: np.ndarray, path: Path, colors: Sequence[int] = VOC, **options: Any) -> None:
    """The classes as RGB colours."""
    table = np.array([[color >> 16, color >> 8 & 255, color & 255] for color in colors], np.uint8)
    Image.fromarray(table[ids]).save(path, **options)


def alpha_mask(ids: np.ndarray, path: Path) -> None:
    """The class in the alpha channel only; the colour is the same everywhere."""
    rgba = np.full((*ids.shape, 4), 255, np.uint8)
    rgba[:, :, 3] = ids * 255
    Image.fromarray(rgba).save(path)


def smooth_mask(ids: np.ndarray, path: Path) -> None:
    """Black and white, anti-aliased: areas that are large beside their edges, as in real masks."""
    large = Image.fromarray(ids * np.uint8(255)).filter(ImageFilter.MaxFilter(17))
    big = large.resize((WIDTH * 4, HEIGHT * 4), Image.Resampling.NEAREST)
    big.rotate(3).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path)


def write(path: Path, text: str | bytes) -> None:
    """A text file, or any bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    """The picture as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def coco(folder: Path) -> None:
    """Pictures and one JSON with polygons."""
    images, annotations = [], []
    for number in range(6):
        save(folder / "images" / f"{number}.jpg", photo(number))
        images.append({"id": number + 1, "file_name": f"{number}.jpg", "height": HEIGHT, "width": WIDTH})
        square = [4, 4, 20, 4, 20, 20 + number, 4, 20 + number]
        annotations.append(
            {
                "id": number,
                "image_id": number + 1,
                "category_id": 7,
                "segmentation": [square],
                "iscrowd": 0,
                "area": 256,
            }
        )
    categories = [{"id": 7, "name": "nucleus"}]
    write(
        folder / "annotations.json",
        json.dumps({"images": images, "annotations": annotations, "categories": categories}),
    )


def objects(folder: Path) -> None:
    """One folder per picture with one mask file per object (Data Science Bowl 2018)."""
    for number in range(6):
        name = f"{number:02}abc"
        save(folder / "stage1_train" / name / "images" / f"{name}.png", photo(number))
        for index in range(3):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[4 + 12 * index : 12 + 12 * index, 5 + number : 15 + number] = 255
            save(folder / "stage1_train" / name / "masks" / f"{name}{index}f.png", mask)


def voc(folder: Path) -> None:
    """PASCAL VOC: palette masks with 255 borders, more pictures than masks, lists of names."""
    for number in range(8):
        save(folder / "VOC2012" / "JPEGImages" / f"2007_{number:06}.jpg", photo(number))
    for number in range(6):
        for kind in ("SegmentationClass", "SegmentationObject"):
            ids = disc(number, classes=4)
            ids[:, 0] = 255
            path = folder / "VOC2012" / kind / f"2007_{number:06}.png"
            path.parent.mkdir(exist_ok=True)
            palette_mask(ids, path, [*VOC, *[0] * 251, 0xE0E0C0])
    lists = folder / "VOC2012" / "ImageSets" / "Segmentation"
    write(lists / "train.txt", "\n".join(f"2007_{number:06}" for number in range(4)))
    write(lists / "val.txt", "\n".join(f"2007_{number:06}" for number in (4, 5)))
    write(lists / "trainval.txt", "\n".join(f"2007_{number:06}" for number in range(6)))


def camvid(folder: Path) -> None:
    """train, val and test with their annot folders, class names beside them."""
    for place, split in enumerate(("train", "train", "train", "val", "test")):
        for number in (2 * place, 2 * place + 1):
            save(folder / split / f"{number:04}.png", photo(number))
            save(folder / f"{split}annot" / f"{number:04}.png", disc(number, classes=4))
    write(folder / "classes.csv", "id,name\n0,Sky\n1,Road\n2,Tree\n3,Unlabelled\n")


def cityscapes(folder: Path) -> None:
    """leftImg8bit and gtFine with three kinds of masks."""
    for number in range(6):
        city = "train/aachen" if number < 4 else "val/ulm"
        stem = f"{city.split('/')[1]}_{number:06}_000019"
        save(folder / "leftImg8bit" / city / f"{stem}_leftImg8bit.png", photo(number))
        ids = np.choose(disc(number, classes=3), [7, 11, 26]).astype(np.uint8)
        save(folder / "gtFine" / city / f"{stem}_gtFine_labelIds.png", ids)
        save(folder / "gtFine" / city / f"{stem}_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
        colour_mask(disc(number, classes=3), folder / "gtFine" / city / f"{stem}_gtFine_color.png")


def junk(folder: Path) -> None:
    """A good set among what operating systems leave."""
    pairs_named("images/{n}.png", "masks/{n}.png")(folder)
    write(folder / "images" / "Thumbs.db", b"junk")
    write(folder / "images" / ".DS_Store", b"junk")
    write(folder / "__MACOSX" / "images" / "._0.png", b"junk")
    write(folder / "notes.docx", b"text")


def stack(folder: Path) -> None:
    """One TIFF stack of six pages, and its masks."""
    tifffile.imwrite(folder / "volume.tif", np.stack([grey(n) for n in range(6)]), photometric="minisblack")
    tifffile.imwrite(folder / "volume_mask.tif", np.stack([binary(n) for n in range(6)]), photometric="minisblack")


def rotated(folder: Path) -> None:
    """Photographs whose EXIF says that they are to be turned; masks drawn on the upright pictures."""
    for number in range(6):
        upright = Image.fromarray(photo(number))
        exif = Image.Exif()
        exif[0x0112] = 6
        path = folder / "images" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
        save(folder / "masks" / f"{number}.png", binary(number))
