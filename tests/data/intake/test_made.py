"""Masks made of one file per object, and of the outlines in COCO and labelme files."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from unetlab.data.intake import annotations, made
from unetlab.data.intake.annotations import MAX_CLASSES, draw_coco, read_coco, read_labelme
from unetlab.data.intake.made import make_masks, union, unite
from unetlab.data.intake.outlines import fill, from_runs, unpacked_counts
from unetlab.data.readers.images import MAX_PIXELS
from unetlab.errors import DataError, UnreadableFile

# Masks of one object each


def discs(count=3, size=24):
    """`count` squares that overlap their neighbours, bool (count,H,W)."""
    found = np.zeros((count, size, size), bool)
    for number in range(count):
        found[number, 3 + 5 * number : 10 + 5 * number, 4 : 9 + number] = True
    return found


def expected_union(objects):
    labels = np.zeros(objects.shape[1:], np.uint16)
    for number in reversed(range(len(objects))):
        labels[objects[number]] = number + 1
    return labels


def grey(ground, value):
    return lambda inside: Image.fromarray(np.where(inside, value, ground).astype(np.uint8))


def coloured(ground, value):
    return lambda inside: Image.fromarray(np.where(inside[:, :, None], value, ground).astype(np.uint8))


def paletted(inside):
    picture = Image.fromarray(inside.astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 128, 0, 0])
    return picture


ENCODINGS = {
    "0 and 255": grey(0, 255),
    "0 and 1": grey(0, 1),
    "black on white": grey(255, 0),
    "1 and 2": grey(1, 2),
    "black and white": lambda inside: Image.fromarray(inside),
    "RGB": coloured((0, 0, 0), (255, 0, 0)),
    "RGB on white": coloured((255, 255, 255), (0, 0, 128)),
    "RGBA, object in alpha only": coloured((9, 9, 9, 0), (9, 9, 9, 255)),
    "RGBA, object in colour": coloured((0, 0, 0, 255), (0, 200, 0, 255)),
    "16 bits": lambda inside: Image.fromarray(inside.astype(np.uint16) * 65535),
    "palette": paletted,
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_objects_in_files_of_their_own_become_one_label_map(encode, tmp_path):
    objects = discs()
    paths = [tmp_path / f"{number}.png" for number in range(len(objects))]
    for path, inside in zip(paths, objects, strict=True):
        encode(inside).save(path)
    labels = union(paths)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, expected_union(objects))


def test_an_object_that_fills_most_of_the_border_is_still_the_object(tmp_path):
    objects = discs()
    objects[1] = True
    objects[1, 8:, 8:15] = False
    for number, inside in enumerate(objects):
        grey(0, 255)(inside).save(tmp_path / f"{number}.png")
    labels = union([tmp_path / f"{number}.png" for number in range(3)])
    np.testing.assert_array_equal(labels, expected_union(objects))


def test_the_ringing_of_jpeg_is_no_object(tmp_path):
    inside = np.zeros((64, 64), bool)
    inside[20:43, 18:37] = True
    grey(0, 255)(inside).save(tmp_path / "1.jpg", quality=60)
    assert len(np.unique(np.asarray(Image.open(tmp_path / "1.jpg")))) > 2
    np.testing.assert_array_equal(union([tmp_path / "1.jpg"]), inside.astype(np.uint16))


def test_a_file_without_object_keeps_its_number(tmp_path):
    objects = discs()
    objects[1] = False
    for number, inside in enumerate(objects):
        grey(0, 255)(inside).save(tmp_path / f"{number}.png")
    assert np.unique(union([tmp_path / f"{number}.png" for number in range(3)])).tolist() == [0, 1, 3]


def test_masks_of_different_sizes_are_refused_with_both_names(tmp_path):
    Image.new("L", (8, 6)).save(tmp_path / "a.png")
    Image.new("L", (9, 6)).save(tmp_path / "b.png")
    with pytest.raises(UnreadableFile, match=r"a\.png has 8×6 px, b\.png 9×6 px\."):
        union([tmp_path / "a.png", tmp_path / "b.png"])


def test_a_union_is_written_once_for_each_choice_of_files(tmp_path, monkeypatch):
    paths = [tmp_path / "originals" / f"{number}.png" for number in range(3)]
    paths[0].parent.mkdir()
    for path, inside in zip(paths, discs(), strict=True):
        grey(0, 255)(inside).save(path)
    name = unite(paths, tmp_path / "made", "train/cell.jpg")
    assert name.startswith("train/cell-")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "made" / name)), expected_union(discs()))
    assert unite(paths[:2], tmp_path / "made", "train/cell.jpg") != name
    monkeypatch.setattr(made, "union", lambda paths: pytest.fail("made again"))
    assert unite(paths, tmp_path / "made", "train/cell.jpg") == name


@pytest.mark.parametrize("stem", ["x" * 245, "\u4e16" * 80], ids=["Latin", "Chinese"])
def test_a_union_for_a_picture_with_a_long_name_is_written(stem, tmp_path):
    path = tmp_path / "1.png"
    grey(0, 255)(discs()[0]).save(path)
    name = unite([path], tmp_path / "made", f"train/{stem}.jpg")
    assert (tmp_path / "made" / name).exists()
    assert name.startswith(f"train/{stem[:20]}")
    short = unite([path], tmp_path / "made", f"train/{'x' * 150}.jpg")
    assert short.startswith(f"train/{'x' * 150}-")  # sets that are there keep their files


# Outlines to pixels


def test_a_square_covers_the_pixels_whose_centres_lie_inside():
    square = np.array([(1, 2), (4, 2), (4, 5), (1, 5)], float)
    area = fill([square], 8, 8)
    assert (area.top, area.left, area.inside.tolist()) == (2, 1, [[True] * 3] * 3)
    assert fill([square + 0.4], 8, 8).inside.shape == (3, 3)
    assert fill([square + 0.6], 8, 8).top == 3
    assert fill([square - 100], 8, 8).num_pixels == 0
    assert fill([square - 2], 8, 8).num_pixels == 2 * 3  # columns -1 to 2, rows 0 to 3


def is_inside(x, y, polygon):
    """Even-odd rule for one point; None on an edge, where rounding decides. Source: Franklin, pnpoly."""
    turns = False
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y0 <= y) != (y1 <= y):
            crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            if abs(x - crossing) < 1e-9:
                return None
            turns ^= x > crossing
    return turns


COORDINATES = st.integers(-30, 110).map(lambda value: value / 8)


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9))
@example([(3.125, 7.875), (0.0, 0.0), (-2.125, 3.125)])
@settings(max_examples=200, deadline=None)
def test_a_polygon_is_filled_as_the_even_odd_rule_says_of_each_centre(polygon):
    area = fill([np.array(polygon, float)], 9, 11)
    drawn = np.zeros((9, 11), bool)
    drawn[area.top : area.top + area.inside.shape[0], area.left : area.left + area.inside.shape[1]] = area.inside
    for row, column in np.ndindex(9, 11):
        assert is_inside(column + 0.5, row + 0.5, polygon) in (None, drawn[row, column])


def test_run_lengths_go_column_by_column_and_begin_outside():
    area = from_runs([1, 2, 3], 2, 3)  # columns: out in | in out | out out
    assert (area.top, area.left, area.inside.tolist()) == (0, 0, [[False, True], [True, False]])
    assert from_runs([6], 2, 3).num_pixels == 0


@pytest.mark.parametrize("counts", [[1, 2], [1, -1, 6], [2**70], ["a"], [[6]], [], [1.5, 4.5]])
def test_run_lengths_that_do_not_fill_the_picture_are_refused(counts):
    with pytest.raises(ValueError, match="do not add up"):
        from_runs(counts, 2, 3)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("521", [5, 2, 1]),  # '0' + value, below 16
        ("`0", [16]),  # 16 is 10000: bit 5 would be a sign, so a second character follows
        ("5324", [5, 3, 2, 7]),  # the fourth is 3 + 4
        ("621O", [6, 2, 1, 1]),  # 1 - 2 = -1, five bits 11111, '0' + 31
        ("T3", [100]),  # 100 = 3 * 32 + 4: '0' + (4 | 32), '0' + 3
        ("", []),
    ],
)
def test_compressed_run_lengths_are_unpacked(text, counts):
    assert unpacked_counts(text) == counts


@pytest.mark.parametrize("text", ["T", "\x00", "é", "o" * 40])
def test_damaged_run_lengths_are_refused(text):
    with pytest.raises(ValueError, match="compressed run lengths"):
        unpacked_counts(text)


# COCO


def box(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def coco_json(annotations=(), *, categories=("cell", "nucleus"), names=("1.png",), **more):
    return {
        "images": [{"id": n, "file_name": name, "height": 10, "width": 12} for n, name in enumerate(names, start=1)],
        "categories": [{"id": 10 * n, "name": name} for n, name in enumerate(categories, start=1)][::-1],
        "annotations": [{"image_id": 1, "category_id": 10, "iscrowd": 0} | entry for entry in annotations],
    } | more


def written(folder, content, name="coco.json"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def drawn(folder, *entries, **more):
    coco = read_coco(written(folder, coco_json(entries, **more)))
    assert coco
    return draw_coco(coco, 1)


def test_polygons_become_the_numbers_of_their_categories_in_the_order_of_ids(tmp_path):
    mask = drawn(tmp_path, {"segmentation": [box(0, 0, 3, 2)]}, {"category_id": 20, "segmentation": [box(5, 5, 2, 2)]})
    expected = np.zeros((10, 12), np.uint8)
    expected[0:2, 0:3] = 1
    expected[5:7, 5:7] = 2
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.uint8


def test_small_objects_lie_on_large_ones_whatever_their_order(tmp_path):
    large, small = {"segmentation": [box(0, 0, 9, 9)]}, {"category_id": 20, "segmentation": [box(2, 2, 3, 3)]}
    for entries in ((large, small), (small, large)):
        mask = drawn(tmp_path, *entries)
        assert (mask[2:5, 2:5] == 2).all()
        assert (mask == 1).sum() == 81 - 9


def test_crowds_are_left_out_and_lie_below_the_objects(tmp_path):
    runs = {"size": [10, 12], "counts": [60, 60]}
    mask = drawn(
        tmp_path,
        {"segmentation": [box(5, 0, 4, 10)]},
        {"segmentation": runs, "iscrowd": 1},
    )
    assert (mask[:, :5] == 0).all()
    assert (mask[:, 5] == 0).sum() == 0
    assert (mask[:, 5:9] == 1).all()
    assert (mask[:, 9:] == 255).all()
    small_crowd = {"segmentation": {"size": [10, 12], "counts": [22, 1, 97]}, "iscrowd": 1}
    assert set(drawn(tmp_path, small_crowd, {"segmentation": [box(0, 0, 9, 9)]}).flat) == {0, 1}


BRUSH = {"segmentation": {"size": [10, 12], "counts": [60, 60]}, "iscrowd": 1}


def test_a_class_that_has_nothing_but_crowds_is_a_class_as_brushes_of_cvat_are(tmp_path):
    square = {"segmentation": [box(7, 0, 4, 10)]}
    mask = drawn(tmp_path, BRUSH | {"category_id": 20}, square)
    assert mask[0].tolist() == [0] * 6 + [2] + [1] * 4 + [2]
    elsewhere = square | {"image_id": 2, "category_id": 20}
    mask = drawn(tmp_path, BRUSH | {"category_id": 20}, square, elsewhere, names=("1.png", "2.png"))
    assert mask[0].tolist() == [0] * 6 + [255] + [1] * 4 + [255]
    only_a_box = {"bbox": [1, 2, 3, 4], "category_id": 20}
    assert 255 not in drawn(tmp_path, BRUSH | {"category_id": 20}, only_a_box)


def test_what_crowds_leave_out_is_counted(tmp_path):
    written(tmp_path, coco_json([BRUSH, BRUSH, {"segmentation": [box(0, 0, 3, 2)]}]))
    found = made_of(tmp_path, ["coco.json"], ["1.png"])
    assert found.notes == [f"coco.json: shapes left out because they {annotations.CROWD}: 2."]
    written(tmp_path, coco_json([BRUSH, BRUSH]))
    assert made_of(tmp_path, ["coco.json"], ["1.png"]).notes == []


def test_run_lengths_draw_the_same_as_the_polygon(tmp_path):
    by_polygon = drawn(tmp_path, {"segmentation": [box(1, 2, 2, 3)]})
    for counts in ([12, 3, 7, 3, 95], "<370h2"):
        mask = drawn(tmp_path, {"segmentation": {"size": [10, 12], "counts": counts}})
        np.testing.assert_array_equal(mask, by_polygon)


def test_several_polygons_of_one_object_are_joined(tmp_path):
    mask = drawn(tmp_path, {"segmentation": [box(0, 0, 4, 4), box(2, 2, 4, 4)]})
    assert mask.sum() == 16 + 16 - 4


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        1,
        {"shapes": []},
        {"a": 1},
        {"images": [], "annotations": {}},
        coco_json([{"caption": "a dog"}]),
        coco_json([{"segments_info": [], "file_name": "1.png"}]),
    ],
)
def test_other_json_is_no_coco(content, tmp_path):
    assert read_coco(written(tmp_path, content)) is None


@pytest.mark.parametrize("content", ["", "{", "[" * 200_000, "\0"])
def test_what_is_no_json_is_refused_with_its_name(content, tmp_path):
    with pytest.raises(UnreadableFile, match=r"coco\.json is no valid JSON"):
        read_coco(written(tmp_path, content))


def test_more_categories_than_an_8_bit_mask_has_values_are_refused(tmp_path):
    names = [f"class {number}" for number in range(MAX_CLASSES + 1)]
    with pytest.raises(DataError, match="255 classes, at most 254"):
        drawn(tmp_path, categories=names)
    assert drawn(tmp_path, {"category_id": 2540, "segmentation": [box(0, 0, 1, 1)]}, categories=names[:-1])[0, 0] == 254


def test_a_picture_without_size_is_refused_with_its_name(tmp_path):
    with pytest.raises(DataError, match=r"size of 1\.png is not given"):
        drawn(tmp_path, images=[{"id": 1, "file_name": "1.png"}])


# A whole drop


def pictures(folder, *names, size=(12, 10)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size).save(folder / name)
    return names


def made_of(tmp_path, jsons, names):
    return make_masks(tmp_path, tmp_path / "made", jsons=jsons, images=pictures(tmp_path, *names))


def mask_of(tmp_path, found, image):
    return np.asarray(Image.open(tmp_path / "made" / found.masks[image]))


def test_a_coco_file_becomes_masks_beside_the_pictures(tmp_path):
    written(tmp_path, coco_json([{"segmentation": [box(0, 0, 3, 2)]}], names=("1.png", "2.png", "gone.png")))
    found = made_of(tmp_path, ["coco.json"], ["train/1.png", "train/2.png", "train/3.png"])
    assert [mask.split("/", 1)[1] for mask in found.masks.values()] == ["train/1.png", "train/2.png"]
    assert list(found.masks) == ["train/1.png", "train/2.png"]
    assert mask_of(tmp_path, found, "train/1.png").sum() == 6
    assert mask_of(tmp_path, found, "train/2.png").sum() == 0
    assert found.class_names == {0: "background", 1: "cell", 2: "nucleus"}
    assert found.used == ["coco.json"]
    assert found.outlined_in == {"train/1.png": "coco.json", "train/2.png": "coco.json"}
    assert found.notes == ["coco.json names pictures that are not there, 1 in all: gone.png."]


def test_pictures_of_one_name_belong_to_the_annotations_beside_them(tmp_path):
    for split, width in (("train", 1), ("valid", 5)):
        written(tmp_path, coco_json([{"segmentation": [box(0, 0, width, 1)]}]), f"{split}/_annotations.coco.json")
    jsons = ["train/_annotations.coco.json", "valid/_annotations.coco.json"]
    found = made_of(tmp_path, jsons, ["train/1.png", "valid/1.png"])
    assert [mask_of(tmp_path, found, image).sum() for image in ("train/1.png", "valid/1.png")] == [1, 5]


def test_two_coco_files_number_their_classes_alike(tmp_path):
    entry = {"segmentation": [box(0, 0, 1, 1)]}
    written(tmp_path, coco_json([entry], categories=("a", "b")), "train.json")
    written(tmp_path, coco_json([entry], categories=("b",), names=("2.png",)), "val.json")
    found = made_of(tmp_path, ["train.json", "val.json"], ["1.png", "2.png"])
    assert [mask_of(tmp_path, found, image).max() for image in ("1.png", "2.png")] == [1, 2]
    assert found.class_names == {0: "background", 1: "a", 2: "b"}


def test_of_two_coco_files_on_one_picture_the_one_with_more_categories_counts(tmp_path):
    written(tmp_path, coco_json([{"segmentation": [box(0, 0, 1, 1)]}], categories=("person",)), "a_keypoints.json")
    written(tmp_path, coco_json([{"segmentation": [box(0, 0, 5, 1)]}], categories=("person", "dog")), "instances.json")
    found = made_of(tmp_path, ["a_keypoints.json", "instances.json"], ["1.png"])
    assert mask_of(tmp_path, found, "1.png").sum() == 5
    assert found.used == ["instances.json"]


def test_faulty_annotations_are_counted_and_the_others_drawn(tmp_path):
    entries = [
        {"segmentation": [box(0, 0, 1, 1)]},
        *({"segmentation": bad} for bad in ([], [[1, 2]], [["a"] * 6], [box(0, 0, float("nan"), 1)], {"counts": "T"})),
        *(
            {"segmentation": bad}
            for bad in ({"size": [12, 10], "counts": [120]}, {"counts": None}, [[1, 2, 3, 4, 5, 6, 7]])
        ),
        {"bbox": [1, 2, 3, 4]},
        {"segmentation": [box(50, 50, 3, 3)]},
        {"category_id": 99, "segmentation": [box(0, 0, 3, 3)]},
        {"image_id": 77, "segmentation": [box(0, 0, 3, 3)]},
        {"image_id": [1], "category_id": {}, "segmentation": "x"},
    ]
    written(tmp_path, coco_json(entries))
    found = made_of(tmp_path, ["coco.json"], ["1.png"])
    assert mask_of(tmp_path, found, "1.png").sum() == 1
    assert sorted(found.notes) == sorted(
        f"coco.json: shapes left out because they {why}: {count}."
        for count, why in (
            (2, annotations.NO_OUTLINE),
            (7, annotations.FAULTY),
            (1, annotations.OUTSIDE),
            (1, annotations.UNKNOWN_CATEGORY),
        )
    )


def test_boxes_without_outlines_and_broken_files_are_said(tmp_path):
    written(tmp_path, coco_json([{"bbox": [1, 2, 3, 4]}]), "boxes.json")
    written(tmp_path, "{", "broken.json")
    written(tmp_path, {"learning_rate": 1}, "config.json")
    found = made_of(tmp_path, ["boxes.json", "broken.json", "config.json"], ["1.png"])
    assert (found.masks, found.used) == ({}, [])
    assert found.notes[0].startswith("boxes.json has no outlines")
    assert found.notes[1].startswith("broken.json is no valid JSON")
    assert len(found.notes) == 2


def test_sizes_that_the_file_does_not_say_are_those_of_the_pictures(tmp_path):
    written(tmp_path, coco_json([{"segmentation": [box(0, 0, 3, 2)]}], images=[{"id": 1, "file_name": "1.png"}]))
    found = made_of(tmp_path, ["coco.json"], ["1.png"])
    assert mask_of(tmp_path, found, "1.png").shape == (10, 12)


def test_masks_that_are_made_already_are_not_made_again(tmp_path, monkeypatch):
    written(tmp_path, coco_json([{"segmentation": [box(0, 0, 3, 2)]}], names=("1.png", "gone.png")))
    found = made_of(tmp_path, ["coco.json"], ["1.png"])
    with monkeypatch.context() as patch:
        patch.setattr(made, "draw", lambda *_: pytest.fail("made again"))
        assert made_of(tmp_path, ["coco.json"], ["1.png"]) == found
    written(tmp_path, coco_json([{"segmentation": [box(0, 0, 4, 2)]}], names=("1.png", "gone.png")))
    assert mask_of(tmp_path, made_of(tmp_path, ["coco.json"], ["1.png"]), "1.png").sum() == 8


def test_pictures_that_differ_in_their_extension_get_masks_of_their_own(tmp_path):
    entries = [{"segmentation": [box(0, 0, 1, 1)]}, {"image_id": 2, "segmentation": [box(0, 0, 2, 2)]}]
    written(tmp_path, coco_json(entries, names=("1.png", "1.jpg")))
    found = made_of(tmp_path, ["coco.json"], ["1.png", "1.jpg"])
    assert [mask_of(tmp_path, found, image).sum() for image in ("1.png", "1.jpg")] == [1, 4]


@pytest.mark.parametrize("stem", ["x" * 248, "\u4e16" * 82], ids=["Latin", "Chinese"])
def test_pictures_with_long_names_that_end_differently_get_masks_of_their_own(stem, tmp_path):
    names = (f"{stem}1.png", f"{stem}2.png")
    entries = [{"segmentation": [box(0, 0, 1, 1)]}, {"image_id": 2, "segmentation": [box(0, 0, 2, 2)]}]
    written(tmp_path, coco_json(entries, names=names))
    found = made_of(tmp_path, ["coco.json"], names)
    assert [mask_of(tmp_path, found, image).sum() for image in names] == [1, 4]
    assert made_of(tmp_path, ["coco.json"], names) == found


def labelme_json(*shapes, image="1.png", **more):
    shapes = [{"shape_type": "polygon"} | shape for shape in shapes]
    return {"shapes": shapes, "imagePath": image, "imageHeight": 10, "imageWidth": 12, "imageData": None} | more


SQUARE = [[0, 0], [3, 0], [3, 2], [0, 2]]


def test_labelme_files_become_masks_with_one_numbering(tmp_path):
    written(tmp_path, labelme_json({"label": "nucleus", "points": SQUARE}), "1.json")
    written(
        tmp_path,
        labelme_json(
            {"label": "cell", "points": [[4, 2], [9, 6]], "shape_type": "rectangle"},
            {"label": "_background_", "points": [[5, 3], [6, 4]], "shape_type": "rectangle"},
            {"label": "__ignore__", "points": [[0, 9], [2, 10]], "shape_type": "rectangle"},
            {"label": "cell", "points": [[0, 0], [3, 3]], "shape_type": "line"},
            image="..\\old\\name.png",
        ),
        "2.json",
    )
    found = made_of(tmp_path, ["1.json", "2.json"], ["1.png", "2.png"])
    assert sorted(found.class_names.items()) == [(0, "background"), (1, "cell"), (2, "nucleus")]
    assert np.unique(mask_of(tmp_path, found, "1.png"), return_counts=True)[1].tolist() == [114, 6]
    second = mask_of(tmp_path, found, "2.png")
    assert (second == 1).sum() == 5 * 4 - 1
    assert second[3, 5] == 0
    assert (second == 255).sum() == 2
    assert found.notes == [f"2.json: shapes left out because they {annotations.NO_OUTLINE}: 1."]


def test_a_circle_of_labelme_has_the_area_of_a_circle(tmp_path):
    circle = {"label": "a", "points": [[50, 50], [50, 80]], "shape_type": "circle"}
    picture = read_labelme(written(tmp_path, labelme_json(circle, imageHeight=100, imageWidth=100)))
    assert picture
    mask, _ = annotations.draw(picture, {"a": 1})
    assert mask.sum() == pytest.approx(np.pi * 30**2, rel=0.01)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {
            "image_id": JSON | st.just(1),
            "category_id": JSON | st.just(10),
            "segmentation": JSON | st.lists(st.lists(st.floats(), max_size=9), max_size=3),
            "iscrowd": JSON,
        }
    ),
    JSON,
    JSON,
)
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_annotations_is_drawn_or_counted(entry, height, categories):
    content = coco_json([entry], images=[{"id": 1, "file_name": "1.png", "height": height, "width": 12}])
    if not isinstance(categories, bool):
        content["categories"] = [*content["categories"], categories]
    coco = annotations.as_coco("coco.json", content)
    if coco and 0 < coco.images[1].height * 12 <= MAX_PIXELS:
        assert draw_coco(coco, 1).dtype == np.uint8
    elif coco:
        with pytest.raises(DataError, match=r"size of 1\.png"):
            draw_coco(coco, 1)
    annotations.as_labelme("1.json", {"imagePath": height, "shapes": [{"points": categories, "label": height}, entry]})
