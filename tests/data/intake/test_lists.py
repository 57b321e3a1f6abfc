"""Tables of pairs and lists of splits, as real sets have them; and files that are neither."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.intake.given_splits import read_splits
from unetlab.data.intake.lists import is_list, read_pair_table, read_split_list, read_split_table
from unetlab.data.names.picture_names import PictureNames

PLAIN = {"a.png": "a_m.png", "b.png": "b_m.png"}

PAIR_TABLES = {
    "headers": ("p.csv", "image,mask\na.png,a_m.png\nb.png,b_m.png\n", PLAIN),
    "no headers": ("p.csv", "a.png,a_m.png\nb.png,b_m.png\n", PLAIN),
    "one row without headers": ("p.csv", "a.png,a_m.png\n", {"a.png": "a_m.png"}),
    "semicolons, BOM and Windows line ends": (
        "p.csv",
        "\ufeffDatei;Maske\r\na.png;a_m.png\r\nb.png;b_m.png\r\n",
        PLAIN,
    ),
    "tabs": ("p.tsv", "filename\tannotation\na.png\ta_m.png\nb.png\tb_m.png\n", PLAIN),
    "spaces": ("train.txt", "a.png a_m.png\nb.png b_m.png\n", PLAIN),
    "columns the other way round": ("p.csv", "label,img\na_m.png,a.png\nb_m.png,b.png\n", PLAIN),
    "the other way round, told by the names": ("p.csv", "a_mask.png,a.png\n", {"a.png": "a_mask.png"}),
    "quoted commas": ("p.csv", 'image,mask\n"a,1.png","a,1_m.png"\n', {"a,1.png": "a,1_m.png"}),
    "more columns": ("p.csv", "id,imagePath,width,labelPath\n1,a.png,9,a_m.png\n2,b.png,9,b_m.png\n", PLAIN),
    "stems under plain headers": ("p.csv", "image_id,mask_id\na,a_m\nb,b_m\n", {"a": "a_m", "b": "b_m"}),
    "rows without a mask": ("p.csv", "image,mask\na.png,a_m.png\nc.png,\nb.png,b_m.png\n", PLAIN),
    "comments and blank lines": ("p.csv", "# made by me\n\nimage,mask\na.png,a_m.png\n\nb.png,b_m.png\n", PLAIN),
    "a picture with two masks": ("p.csv", "a.png,a_m.png\nb.png,b_m.png\na.png,x_m.png\n", {"b.png": "b_m.png"}),
    "DeepGlobe": (
        "metadata.csv",
        "image_id,split,sat_image_path,mask_path\n1,train,train/1_sat.jpg,train/1_mask.png\n2,valid,valid/2_sat.jpg,\n",
        {"train/1_sat.jpg": "train/1_mask.png"},
    ),
    "CamVid of SegNet, absolute": (
        "train.txt",
        "/SegNet/CamVid/train/1.png /SegNet/CamVid/trainannot/1.png\n",
        {"train/1.png": "trainannot/1.png"},
    ),
    "Windows paths": (
        "p.csv",
        "image,mask\nC:\\data\\img\\1.png,C:\\data\\gt\\1.png\nC:\\data\\img\\2.png,C:\\data\\gt\\2.png\n",
        {"img/1.png": "gt/1.png", "img/2.png": "gt/2.png"},
    ),
    "relative paths": ("p.csv", "./img/1.png,../gt/1.png\n", {"img/1.png": "gt/1.png"}),
}


@pytest.mark.parametrize(("name", "text", "pairs"), PAIR_TABLES.values(), ids=PAIR_TABLES)
def test_a_table_of_pairs_is_read(name, text, pairs, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_pair_table(tmp_path / name) == pairs


def test_a_table_from_excel_in_utf16_or_latin_1_is_read(tmp_path):
    (tmp_path / "p.csv").write_text("image\tmask\nö.png\tö_m.png\n", encoding="utf-16")
    assert read_pair_table(tmp_path / "p.csv") == {"ö.png": "ö_m.png"}
    (tmp_path / "p.csv").write_text("image;mask\nö.png;ö_m.png\n", encoding="latin-1")
    assert read_pair_table(tmp_path / "p.csv") == {"ö.png": "ö_m.png"}


NO_PAIR_TABLES = {
    "classes of pictures": ("p.csv", "filename,label\na.png,cat\nb.png,dog\n"),
    "numbered classes": ("p.csv", "image,label\na.png,0\nb.png,1\n"),
    "run lengths of masks": ("train.csv", "id,rle_mask\na,1 5 9 3\nb,7 2\n"),
    "boxes": ("p.csv", "filename,x,y,width,height\na.png,1,2,3,4\nb.png,1,2,3,4\n"),
    "a list of one column": ("train.txt", "a.png\nb.png\n"),
    "names with spaces": ("train.txt", "cell 1.png\ncell 2.png\n"),
    "prose": ("notes.txt", "These pictures, and the masks, were made by hand.\nThank you, all.\n"),
    "class names": ("classes.csv", "id,name\n0,a.png\n1,b.png\n"),
    "nothing": ("p.csv", ""),
    "not a table": ("p.csv", "\0\1\2\xff"),
    "annotations": ("p.json", '{"a.png": "b.png"}'),
}


@pytest.mark.parametrize(("name", "text"), NO_PAIR_TABLES.values(), ids=NO_PAIR_TABLES)
def test_other_files_are_no_tables_of_pairs(name, text, tmp_path):
    (tmp_path / name).write_text(text, encoding="latin-1")
    assert read_pair_table(tmp_path / name) is None


FILE_NAMES = st.text("abcäß-_ .()1234567890", min_size=1, max_size=12).map(str.strip).filter(lambda s: s.strip(". "))


@given(
    pairs=st.dictionaries(FILE_NAMES, FILE_NAMES, min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t"),
    has_header=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_pairs_are_written_to_a_table_come_back(pairs, delimiter, has_header, tmp_path_factory):
    expected = {f"images/{image}.png": f"masks/{mask}.png" for image, mask in pairs.items()}
    lines = [f"image{delimiter}mask"] if has_header else []
    path = tmp_path_factory.mktemp("table") / "pairs.csv"
    path.write_text("\n".join([*lines, *(delimiter.join(pair) for pair in expected.items())]), encoding="utf-8")
    assert read_pair_table(path) == expected


SPLIT_LISTS = {
    "fast.ai": ("valid.txt", "a.png\nb.png\n", ("valid", ["a.png", "b.png"])),
    "stems": (
        "ImageSets/Segmentation/val.txt",
        "2007_000033\n2007_000042\n",
        ("valid", ["2007_000033", "2007_000042"]),
    ),
    "trainval": ("ImageSets/Segmentation/trainval.txt", "a\n", ("train", ["a"])),
    "words beside": ("train_list.txt", "a\n\nb\na\n", ("train", ["a", "b"])),
    "glued words": ("trainlist.txt", "a\n", ("train", ["a"])),
    "pairs of paths": (
        "test.txt",
        "/d/test/a.png /d/testannot/a.png\n/d/test/b.png /d/testannot/b.png\n",
        ("test", ["a.png", "b.png"]),
    ),
    "marks of VOC": ("train.txt", "a  1\nb -1\n", ("train", ["a", "b"])),
    "spaces in names": ("TRAIN.TXT", "cell (1).png\ncell (2).png\n", ("train", ["cell (1).png", "cell (2).png"])),
    "commas": ("val_ids.txt", "a,b\n", ("valid", ["a"])),
}


@pytest.mark.parametrize(("name", "text", "expected"), SPLIT_LISTS.values(), ids=SPLIT_LISTS)
def test_a_list_of_a_split_is_read(name, text, expected):
    assert read_split_list(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("codes.txt", "a\n"),
        ("aeroplane_train.txt", "a 1\n"),
        ("train_val_report.txt", "a\n"),
        ("names.txt", "a\n"),
        ("train.txt", "\n\n"),
        ("train.txt", "We trained on all of the pictures in this folder.\nThere were twelve of them, more or less.\n"),
        ("train.csv", "image,mask\n"),
    ],
)
def test_other_files_are_no_lists_of_a_split(name, text):
    assert read_split_list(name, text) is None


SPLIT_TABLES = {
    "split": (
        "p.csv",
        "file,split\na.png,train\nb.png,VAL\nc.png,testing\n",
        {"a.png": "train", "b.png": "valid", "c.png": "test"},
    ),
    "fast.ai": ("p.csv", "fname,is_valid\na.png,True\nb.png,False\n", {"a.png": "valid", "b.png": "train"}),
    "flags": ("p.csv", "id;Is-Valid\na;1\nb;0\n", {"a": "valid", "b": "train"}),
    "DeepGlobe": (
        PAIR_TABLES["DeepGlobe"][0],
        PAIR_TABLES["DeepGlobe"][1],
        {"train/1_sat.jpg": "train", "valid/2_sat.jpg": "valid"},
    ),
    "its own name": ("val.csv", "image,mask\na.png,a_m.png\n", {"a.png": "valid"}),
    "no column of splits": ("p.csv", "image,mask\na.png,a_m.png\n", None),
    "other words": ("p.csv", "file,set\na.png,red\nb.png,blue\n", None),
    "no pictures": ("p.csv", "length,split\n1 cm,train\n2 cm,valid\n", None),
}


@pytest.mark.parametrize(("name", "text", "expected"), SPLIT_TABLES.values(), ids=SPLIT_TABLES)
def test_a_table_of_splits_is_read_or_left(name, text, expected, tmp_path):
    (tmp_path / name).write_text(text)
    assert read_split_table(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("a/b.CSV", True), ("x.json", True), ("train.txt", True), ("README.txt", False)),
        *(("LICENSE-2.0.txt", False), ("codes.txt", False), ("a.xml", False), ("1.png", False)),
    ],
)
def test_what_may_be_a_list_is_told_by_its_name(name, expected):
    assert is_list(name) == expected


# All lists of a drop together


def drop(folder, **lists):
    pictures = [f"JPEGImages/{stem}.jpg" for stem in "abcd"] + [f"SegmentationClass/{stem}.png" for stem in "abc"]
    for name, text in lists.items():
        (folder / f"{name}.txt").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(text)
    return folder, [*pictures, *(f"{name}.txt" for name in lists)]


def images_of(splits):
    return {name[-5]: split for name, split in splits.by_name.items() if name.endswith(".jpg")}


def test_the_lists_of_voc_give_the_split_and_trainval_is_left_out(tmp_path):
    lists = {
        f"ImageSets/Segmentation/{name}": text for name, text in (("train", "a"), ("trainval", "a\nb"), ("val", "b"))
    }
    found = read_splits(*drop(tmp_path, **lists, **{"ImageSets/Main/train": "b\nc\nd\n"}))
    assert images_of(found) == {"a": "train", "b": "valid"}
    assert found.used == ["ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"]
    assert found.notes == []


def test_with_a_validation_list_alone_the_rest_is_for_training(tmp_path):
    folder, names = drop(tmp_path, valid="b.png\n")
    found = read_splits(folder, [*names, "test/x.jpg"])
    assert images_of(found) == {"a": "train", "b": "valid", "c": "train", "d": "train"}


def test_training_lists_alone_split_nothing(tmp_path):
    found = read_splits(*drop(tmp_path, train="a\nb\n"))
    assert (found.by_name, found.used) == ({}, ["train.txt"])


def test_a_picture_in_two_lists_is_not_trained_on_and_that_is_said(tmp_path):
    for lists in ({"train": "a\nb\n", "val": "b\nc\n"}, {"val": "b\nc\n", "train": "a\nb\n"}):
        found = read_splits(*drop(tmp_path, **lists))
        assert images_of(found) == {"a": "train", "b": "valid", "c": "valid"}
        assert "JPEGImages/b.jpg, SegmentationClass/b.png. Left out of training" in found.notes[0]


def test_names_that_are_not_there_are_said(tmp_path):
    found = read_splits(*drop(tmp_path, train="a\nz\n", val="b\n", test="x\ny\n"))
    assert found.used == ["train.txt", "val.txt"]
    assert found.notes == ["train.txt names files that are not there: z."]


NAMES = ["train/1.png", "valid/1.png", "train/masks/1.png", "other/Größe.TIF"]


@pytest.mark.parametrize(
    ("name", "beside", "expected"),
    [
        ("1.png", "valid/x.json", ["valid/1.png"]),
        ("1.png", "", ["train/1.png", "train/masks/1.png", "valid/1.png"]),
        ("data/train/1.png", "", ["train/1.png"]),
        ("C:\\data\\valid\\1.png", "", ["valid/1.png"]),
        ("masks/1", "", ["train/masks/1.png"]),
        ("größe.jpg", "", ["other/Größe.TIF"]),
        ("11.png", "", []),
    ],
)
def test_a_name_means_the_picture_that_shares_most_of_its_path(name, beside, expected):
    assert sorted(PictureNames(NAMES).find(name, beside=beside)) == expected
