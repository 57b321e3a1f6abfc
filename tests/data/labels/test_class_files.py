"""Oracle: files as tools write them, and the classes that people read in them."""

import pytest

from unetlab.data.labels.class_files import ClassFile, is_class_file, is_ignored_name, read_class_file

CAT_DOG = {0: "cat", 1: "dog"}
RED_BLUE = {0xFF0000: "cat", 0x0000FF: "dog"}


@pytest.mark.parametrize(
    ("name", "text", "names", "colours"),
    [
        ("codes.txt", "cat\ndog\n", CAT_DOG, {}),
        ("labels.txt", "\ufeff# ours\n\n cat \r\n dog", CAT_DOG, {}),
        ("labels.txt", "traffic light 1\ntraffic light 2", {0: "traffic light 1", 1: "traffic light 2"}, {}),
        ("labels.txt", "__ignore__\n_background_\ncat", {255: "__ignore__", 0: "_background_", 1: "cat"}, {}),
        ("class_names.txt", "3 cat\n7 dog", {3: "cat", 7: "dog"}, {}),
        ("class_names.txt", "3: cat\n7: dog", {3: "cat", 7: "dog"}, {}),
        ("classes.txt", "cat: 3\ndog: 7", {3: "cat", 7: "dog"}, {}),
        ("label_colors.txt", "255 0 0\tcat\n0 0 255\t\tdog", CAT_DOG, RED_BLUE),
        ("label_colors.txt", "cat 255 0 0\ndog 0 0 255", CAT_DOG, RED_BLUE),
        ("label_colors.txt", "1 cat 255 0 0\n2 dog 0 0 255", {1: "cat", 2: "dog"}, RED_BLUE),
        ("labelmap.txt", "# label:color_rgb:parts:actions\ncat:255,0,0::\ndog:0,0,255:head:", CAT_DOG, RED_BLUE),
        ("classes.csv", "id,name,r,g,b\n4,cat,255,0,0\n9,dog,0,0,255", {4: "cat", 9: "dog"}, RED_BLUE),
        ("class_dict.csv", "name, r, g, b\ncat, 255, 0, 0\ndog, 0, 0, 255", CAT_DOG, RED_BLUE),
        ("classes.csv", "Class,Color\ncat,#ff0000\ndog,#0000FF", CAT_DOG, RED_BLUE),
        ("labels.csv", "label,name\n3,cat\n7,dog", {3: "cat", 7: "dog"}, {}),
        ("classes.csv", "label,value\ncat,3\ndog,7", {3: "cat", 7: "dog"}, {}),
        ("label_names.csv", "0,cat\n1,dog", CAT_DOG, {}),
        ("_classes.csv", "Pixel Value, Class\n0, cat\n1, dog", CAT_DOG, {}),
        ("classes.csv", "Class-ID;Class Name\n3;cat\n7;dog", {3: "cat", 7: "dog"}, {}),
        ("class_dict_seg.csv", "name, r, g, b\ncat, 255, 0, 0\ndog, 0, 0, 255", CAT_DOG, RED_BLUE),
        ("label_class_dict.csv", "name,r,g,b\ncat,255,0,0\ndog,0,0,255", CAT_DOG, RED_BLUE),
        ("category_id.txt", "0\tcat\n1\tegg tart", {0: "cat", 1: "egg tart"}, {}),
        (
            "objectInfo150.txt",
            "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11664\t1172\t1\twall\n2\t0.1\t60\t6\t1\tbuilding, edifice",
            {1: "wall", 2: "building, edifice"},
            {},
        ),
        ("dataset.json", '{"name": "x", "labels": {"cat": 0, "dog": 1}, "numTraining": 9}', CAT_DOG, {}),
        ("dataset.json", '{"modality": {"0": "CT"}, "labels": {"0": "cat", "1": "dog"}, "training": []}', CAT_DOG, {}),
        ("dataset.json", '{"labels": {"cat": 0, "whole": [1, 2, 3], "dog": 1}}', CAT_DOG, {}),
        (
            "config.json",
            '{"labels": [{"name": "animal--cat", "readable": "cat", "color": [255, 0, 0], "evaluate": true},'
            '{"name": "animal--dog", "readable": "dog", "color": [0, 0, 255], "evaluate": true}], "version": 1.1}',
            CAT_DOG,
            RED_BLUE,
        ),
        ("obj_class_to_machine_color.json", '{"cat": [255, 0, 0], "dog": [0, 0, 255]}', CAT_DOG, RED_BLUE),
        (
            "obj_class_to_machine_color.json",
            '{"cat": [3, 3, 3], "dog": [7, 7, 7]}',
            {3: "cat", 7: "dog"},
            {0x030303: "cat", 0x070707: "dog"},
        ),
        ("data.yaml", "nc: 2\nnames: ['cat', \"dog\"]\n", CAT_DOG, {}),
        ("data.yaml", "names:\n- cat\n- dog\nnc: 2\n", CAT_DOG, {}),
        ("data.yaml", "path: x\nnames:\n  3: cat\n  7: dog\n", {3: "cat", 7: "dog"}, {}),
        (
            "label_map.pbtxt",
            "item {\n  id: 1\n  name: 'cat'\n}\nitem { name: \"dog\" id: 2 }",
            {1: "cat", 2: "dog"},
            {},
        ),
        ("labelmap.pbtxt", "item { id: 1 name: '/m/1' display_name: 'cat' }", {1: "cat"}, {}),
        ("classes.json", '["cat", "dog"]', CAT_DOG, {}),
        ("classes.json", '{"cat": 3, "dog": 7}', {3: "cat", 7: "dog"}, {}),
        ("classes.json", '{"3": "cat", "7": "dog"}', {3: "cat", 7: "dog"}, {}),
        ("classes.json", '{"cat": "#ff0000", "dog": "#0000ff"}', CAT_DOG, RED_BLUE),
        ("classes.json", '{"#ff0000": "cat", "#0000ff": "dog"}', CAT_DOG, RED_BLUE),
        ("label_map.json", '{"cat": [255, 0, 0], "dog": [0, 0, 255]}', CAT_DOG, RED_BLUE),
        (
            "label_map.json",
            '{"labels": [{"id": 3, "name": "cat", "color": [255, 0, 0]}]}',
            {3: "cat"},
            {0xFF0000: "cat"},
        ),
        ("label_map.json", '{"3": {"name": "cat"}, "7": {"name": "dog"}}', {3: "cat", 7: "dog"}, {}),
        ("classes.json", '{"classes": [{"title": "cat", "color": "#FF0000"}]}', {0: "cat"}, {0xFF0000: "cat"}),
    ],
)
def test_classes_are_read_from_every_known_kind_of_file(name, text, names, colours, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert is_class_file(f"drop/{name.upper()}")
    found = read_class_file(tmp_path / name)
    assert found is not None
    assert (found.file, found.names, found.colours) == (name, names, colours)


def test_it_is_known_whether_the_file_gives_values_itself(tmp_path):
    (tmp_path / "codes.txt").write_text("cat\ndog\n")
    (tmp_path / "classes.csv").write_text("id,name\n0,cat\n1,dog\n")
    assert read_class_file(tmp_path / "codes.txt") == ClassFile("codes.txt", CAT_DOG)
    assert read_class_file(tmp_path / "classes.csv") == ClassFile("classes.csv", CAT_DOG, has_ids=True)


def test_two_files_that_say_the_same_are_equal(tmp_path):
    for folder, text in (("train", "cat\ndog\n"), ("valid", "cat\ndog"), ("test", "dog\ncat")):
        (tmp_path / f"{folder}.txt").write_text(text)
    train, valid, test = (read_class_file(tmp_path / f"{folder}.txt") for folder in ("train", "valid", "test"))
    assert train == valid
    assert train != test


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("codes.txt", b""),
        ("codes.txt", b"\n# only a remark\n"),
        ("labels.txt", b"\x89PNG\0\0"),
        ("labels.txt", b"x" * 2_000_000),
        ("labels.txt", b"1 " * 400),
        ("classes.csv", b"name\n"),
        ("classes.json", b'{"cat": 1'),
        ("classes.json", b"[" * 100_000),
        ("classes.json", b"17"),
        ("classes.json", b'{"cat": ' + b"9" * 5000 + b"}"),
        ("label_map.pbtxt", b"item { id: 1 }"),
        ("_classes.csv", b"filename, cat, dog\na.jpg, 0, 1"),
        ("dataset.json", b'{"training": [{"image": "a.png", "label": "b.png"}], "numTraining": 1}'),
        ("dataset.json", b'{"labels": [["a.png", 0], ["b.png", 1]]}'),
        ("dataset.json", b'["a.png", "b.png"]'),
        ("config.json", b'{"model": "unet", "depth": 4}'),
        ("config.json", b'{"labels": {"size": 3}}'),
        ("data.yaml", b"train: images\nval: images\n"),
        ("labels.json", b'{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}'),
    ],
)
def test_a_file_without_names_is_none(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert read_class_file(tmp_path / name) is None


@pytest.mark.parametrize("name", ["photo.txt", "classes.png", "obj.names", "readme.csv", "train.csv", "pairs.csv"])
def test_other_files_are_no_class_files(name):
    assert not is_class_file(name)


@pytest.mark.parametrize("name", ["Void", "unlabeled", " Ignore ", "__ignore__", "don't care"])
def test_some_names_mean_that_pixels_are_left_out(name):
    assert is_ignored_name(name)
    assert not is_ignored_name(f"{name} thing")
