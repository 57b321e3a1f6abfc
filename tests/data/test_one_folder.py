"""Pictures and masks in one folder whose names do not say which is which: the pixels do, or one question is asked."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.data.drops import binary, disc, photo, save
from unetlab.data import changes
from unetlab.data.checks.pairing_findings import about_pairing
from unetlab.data.importing import examine, stage_into, staging_folder
from unetlab.data.intake.sources import save_upload
from unetlab.data.manifest import Choices
from unetlab.data.names.pairing import pair_files
from unetlab.workspace import own_workspace

COUNT = 6


def twins(folder, picture, mask):
    """a0 to a5 as pictures and as masks, with these endings."""
    for number in range(COUNT):
        save(folder / f"a{number}{picture}", photo(number))
        save(folder / f"a{number}{mask}", binary(number))
    return folder


def report(*sources, masks=None):
    staging = staging_folder(own_workspace())
    stage_into(staging, sources, masks=masks)
    return examine(staging), staging


def found(manifest, code):
    return [finding for finding in manifest.findings if finding.code == code]


@pytest.mark.parametrize(
    ("picture", "mask"),
    [(".bmp", ".png"), (".tif", ".png"), (".jpg", ".png"), (".png", ".bmp"), (".png", ".tif"), (".png", ".jpg")],
)
def test_of_twins_the_files_of_few_values_are_the_masks_and_that_is_said(tmp_path, picture, mask):
    manifest, staging = report(twins(tmp_path / "set", picture, mask))
    assert [(pair.image, pair.mask) for pair in manifest.pairs] == [(f"a{n}{picture}", f"a{n}{mask}") for n in range(6)]
    (told,) = found(manifest, "which-mask")
    assert told.severity == "info"
    assert told.message.startswith(f"Pictures and masks have the same names; the {mask} files hold ")
    assert mask == ".jpg" or "hold 2 values each, so they are read as masks." in told.message
    assert told.together == [[f"a0{picture}", f"a0{mask}"]]
    (swap,) = told.fixes
    assert swap.label == f"Swap: the {picture} files are the masks"
    after = changes.revise(staging, swap.change)
    assert {(pair.image, pair.mask) for pair in after.pairs} <= {(f"a{n}{mask}", f"a{n}{picture}") for n in range(6)}
    (told,) = found(after, "which-mask")
    assert told.message == f"Pictures and masks have the same names; you chose the {picture} files as masks."
    assert [fix.label for fix in told.fixes] == [f"Swap: the {mask} files are the masks"]
    assert not found(after, "swapped")  # one cause, one switch
    back = changes.revise(staging, told.fixes[0].change)
    assert found(back, "which-mask")[0].message.endswith(f"you chose the {mask} files as masks.")
    assert {(pair.image, pair.mask) for pair in back.pairs} == {(f"a{n}{picture}", f"a{n}{mask}") for n in range(6)}


def test_every_road_gives_the_same_report(tmp_path):
    folder = twins(tmp_path / "set", ".bmp", ".png")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    contents = [(path.name, path.read_bytes()) for path in folder.iterdir()]
    save_upload(contents, into=tmp_path / "dropped", box="images")
    reports = [report(source)[0] for source in (folder, tmp_path / "set.zip", tmp_path / "dropped" / "images")]
    same = [manifest.model_dump(exclude={"name"}) for manifest in reports]
    assert len(same[0]["pairs"]) == COUNT
    assert same[0] == same[1] == same[2]


def two_masks(folder):
    """A picture, a mask of two values and one of three, told apart by words that nobody knows."""
    for number in range(COUNT):
        save(folder / f"a{number}.png", photo(number))
        save(folder / f"a{number}_x.png", binary(number))
        save(folder / f"a{number}_y.png", disc(number, classes=3))
    return folder


def test_of_two_kinds_of_mask_one_question_is_asked_and_one_click_answers_it(tmp_path):
    manifest, staging = report(two_masks(tmp_path / "set"))
    assert [(finding.code, finding.severity) for finding in manifest.findings] == [("which-mask", "error")]
    (question,) = manifest.findings
    assert "a0.png and the like are the pictures" in question.message
    assert [fix.examples for fix in question.fixes] == [["a0.png", "a0_x.png"], ["a0.png", "a0_y.png"]]
    after = changes.revise(staging, question.fixes[1].change)
    assert [(pair.image, pair.mask) for pair in after.pairs] == [(f"a{n}.png", f"a{n}_y.png") for n in range(COUNT)]
    (told,) = found(after, "which-mask")
    assert told.together == [["a0.png", "a0_y.png"]]  # the pair in use
    assert [(fix.label, fix.examples) for fix in told.fixes] == [("Use 'x' instead", [])]
    assert not found(after, "image-without-mask") + found(after, "mask-without-image")


GLUED = {
    "letters behind a number": ("{}a", "{}b"),
    "a letter behind the picture's name": ("im{}", "im{}x"),
    "a word behind the picture's name": ("im{}", "im{}Nuclei"),
    "a letter before a number": ("x{}", "y{}"),
    "a letter before the picture's name": ("{}", "m{}"),
}


def drawn(folder, *names, first=0):
    """For each name, with a number for {}, pictures, masks of two values, or of three, in that order."""
    for number in range(first, first + 12):
        for name, draw in zip(names, (photo, binary, lambda n: disc(n, classes=3)), strict=False):
            save(folder / f"{name.format(number)}.png", draw(number))
    return folder


@pytest.mark.parametrize("names", GLUED.values(), ids=GLUED.keys())
def test_pixels_tell_kinds_of_file_whose_names_have_no_separator(tmp_path, names):
    manifest, _ = report(drawn(tmp_path / "set", *names))
    assert [(pair.image, pair.mask) for pair in manifest.pairs] == [
        tuple(f"{name.format(number)}.png" for name in names) for number in range(12)
    ]


@pytest.mark.parametrize("names", [("{}a", "{}b", "{}c"), ("im{}", "im{}Nuclei", "im{}Border"), ("r{}", "b{}", "d{}")])
def test_three_kinds_without_a_separator_raise_one_question(tmp_path, names):
    manifest, staging = report(drawn(tmp_path / "set", *names))
    (question,) = manifest.findings
    assert (question.code, len(question.fixes)) == ("which-mask", 2)
    pairs = changes.revise(staging, question.fixes[0].change).pairs
    assert len(pairs) == 12
    assert {pair.image for pair in pairs} == {f"{names[0].format(number)}.png" for number in range(12)}


def test_one_of_several_kinds_dropped_as_masks_is_the_mask(tmp_path):
    drawn(tmp_path / "images", "{}a", "{}b", "{}c")
    (tmp_path / "masks").mkdir()
    for path in (tmp_path / "images").glob("*b.png"):
        path.rename(tmp_path / "masks" / path.name)
    manifest, _ = report(tmp_path / "images", masks=tmp_path / "masks")
    assert [(pair.image, pair.mask) for pair in manifest.pairs] == [
        (f"images/{n}a.png", f"masks/{n}b.png") for n in range(12)
    ]
    assert found(manifest, "which-mask")[0].message.endswith("'b' is taken as the mask. Not used: 'c'.")
    assert not found(manifest, "image-without-mask")


PLAIN = [("cat{}",), ("frame{}",), ("a{}", "b{}", "c{}"), ("cat{}", "dog{}"), ("{}l", "{}r")]


@pytest.mark.parametrize("names", PLAIN)
def test_plain_names_of_pictures_are_no_kinds(tmp_path, names):
    for place, name in enumerate(names):
        for number in range(1, 12):
            save(tmp_path / "set" / f"{name.format(number)}.png", photo(50 * place + number))
    (error,) = report(tmp_path / "set")[0].findings
    assert (error.code, error.together, len(error.files)) == ("no-pairs", [], 11 * len(names))


def test_pictures_and_masks_whose_names_have_nothing_in_common_are_seen_and_told(tmp_path):
    for number, letter in enumerate("abcdef"):
        save(tmp_path / "set" / f"north{letter}.png", photo(number))
        save(tmp_path / "set" / f"{letter}south.png", binary(number))
    (error,) = report(tmp_path / "set")[0].findings
    assert error.code == "no-pairs"
    assert error.message.startswith("Pictures and masks are here, such as northa.png and asouth.png, but their names")
    assert error.together == [["northa.png", "asouth.png"]]


def test_numbers_that_are_kinds_are_not_mixed_up_with_numbers_that_count(tmp_path):
    manifest, _ = report(drawn(tmp_path / "set", "a_{}_1", "a_{}_2", "a_{}_3"))
    (question,) = manifest.findings
    assert [fix.change for fix in question.fixes] == [{"mask_kind": "a ... 2"}, {"mask_kind": "a ... 3"}]


def test_folders_are_not_called_one_folder_and_a_reason_is_given(tmp_path):
    for number in range(COUNT):
        save(tmp_path / "set" / "A" / f"s{number}.jpg", photo(number))
        save(tmp_path / "set" / "B" / f"s{number}.png", binary(number))
    (told,) = found(report(tmp_path / "set")[0], "which-mask")
    assert told.message.startswith("Pictures and masks are in different folders (")
    assert told.message.endswith("; the 'a' files are JPEG, as photographs are.")
    assert [fix.label for fix in told.fixes] == ["Swap: the 'a' files are the masks"]


def test_bare_names_are_described(tmp_path):
    (told,) = found(report(drawn(tmp_path / "set", "s{}", "s{}_zones"))[0], "which-mask")
    assert "(files without an addition to their name (12 files such as s0.png), 'zones' (12" in told.message
    assert told.fixes[0].label == "Swap: the files without an addition to their name are the masks"


def test_further_masks_are_not_called_pictures(tmp_path):
    folder = drawn(tmp_path / "set", "c_{}", "c_{}_mask", "c_{}_edge")
    save(folder / "late.png", photo(70))
    manifest, _ = report(folder)
    assert len(manifest.pairs) == 12
    (beside,) = found(manifest, "beside-masks")
    assert (beside.severity, len(beside.files)) == ("info", 12)
    assert found(manifest, "image-without-mask")[0].files == ["late.png"]


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("a.docx", "b.mp4", "c.txt", "broken.png"):
        (tmp_path / "set" / name).write_bytes(b"no picture")
    (error,) = (finding for finding in report(tmp_path / "set")[0].findings if finding.severity == "error")
    assert error.message.startswith("There is no picture that can be read.\n")
    assert "are not read: export them as PNG or TIFF." in error.message
    assert "broken.png is not a picture" in error.message
    assert error.files == []
    save(tmp_path / "set" / "real.png", photo(0))
    (error,) = (finding for finding in report(tmp_path / "set")[0].findings if finding.severity == "error")
    assert error.files == ["real.png"]


def test_of_three_kinds_that_nothing_tells_apart_one_click_says_which_are_pictures_and_which_masks(tmp_path):
    for number in range(COUNT):
        picture, mask = photo(number), binary(number)
        overlay = picture.copy()
        overlay[mask > 0] = 255
        for word, pixels in (("aa", overlay), ("bb", mask), ("cc", picture)):
            save(tmp_path / "set" / f"{number}_{word}.png", pixels)
    manifest, staging = report(tmp_path / "set")
    (question,) = manifest.findings
    answers = {fix.label: fix for fix in question.fixes}
    assert len(answers) == 6
    answer = answers["'cc' are the pictures, 'bb' the masks"]
    assert answer.examples == ["0_cc.png", "0_bb.png"]
    assert changes.revise(staging, {"mask_kind": "bb"}).findings == [question]  # the pictures are still open
    after = changes.revise(staging, answer.change)
    assert [(pair.image, pair.mask) for pair in after.pairs] == [(f"{n}_cc.png", f"{n}_bb.png") for n in range(COUNT)]
    assert not found(after, "image-without-mask") + found(after, "mask-without-image")
    (told,) = found(after, "which-mask")
    assert told.severity == "info"
    assert told.message.endswith("'bb' is taken as the mask. Not used: 'aa'.")
    assert told.fixes[-1].label == "Choose again"
    assert changes.revise(staging, told.fixes[-1].change).findings == [question]


def test_where_the_pictures_are_known_only_the_mask_is_asked_for():
    kinds = ("EX", "HE", "MA")
    names = [f"images/r{n}.jpg" for n in range(3)] + [f"masks/{k}/r{n}_{k}.tif" for n in range(3) for k in kinds]
    asked, answered = (pair_files(names, mask_kind=kind) for kind in (None, "HE"))
    (question,) = about_pairing(asked, Choices(), [], {})
    assert [fix.label for fix in question.fixes] == [f"'{kind}' is the mask" for kind in kinds]
    (told,) = about_pairing(answered, Choices(mask_kind="HE"), [], {})
    assert told.message.endswith("'HE' is taken as the mask. Not used: 'EX', 'MA'.")
    assert [fix.label for fix in told.fixes] == ["Use 'EX' instead", "Use 'MA' instead"]


def test_pixels_that_do_not_tell_leave_one_question_with_an_example_of_each_answer(tmp_path):
    for number in range(COUNT):
        save(tmp_path / "set" / f"a{number}.bmp", photo(number))
        save(tmp_path / "set" / f"a{number}.png", photo(number + 50))
    manifest, _ = report(tmp_path / "set")
    (question,) = manifest.findings
    assert (question.code, question.severity) == ("which-mask", "error")
    assert [fix.examples for fix in question.fixes] == [["a0.png", "a0.bmp"], ["a0.bmp", "a0.png"]]


def test_a_file_that_cannot_be_read_leaves_the_question_open(tmp_path):
    folder = twins(tmp_path / "set", ".bmp", ".png")
    (folder / "a0.bmp").write_bytes(b"")
    assert [finding.code for finding in report(folder)[0].findings] == ["which-mask"]


def test_near_misses_alone_are_one_error_whose_files_are_not_told_again(tmp_path):
    for number, name in enumerate(("north", "south", "east")):
        save(tmp_path / "set" / "images" / f"{name}ern.png", photo(number))
        save(tmp_path / "set" / "masks" / f"{name}arn.png", binary(number))
    manifest, _ = report(tmp_path / "set")
    assert {(finding.code, finding.severity) for finding in manifest.findings} == {
        ("near-misses", "error"),
        ("near-miss", "error"),
    }


def test_no_pair_at_all_is_one_error_that_names_the_files(tmp_path):
    for number in range(3):
        save(tmp_path / "set" / f"{'abc'[number]}.png", photo(number))
    manifest, _ = report(tmp_path / "set")
    (error,) = manifest.findings
    assert (error.code, error.files) == ("no-pairs", ["a.png", "b.png", "c.png"])


def test_pairs_within_the_box_for_pictures_stay_when_masks_come_into_the_other(tmp_path):
    for number in range(COUNT):
        save(tmp_path / "images" / f"a{number}.png", photo(number))
        save(tmp_path / "images" / f"a{number}_mask.png", binary(number))
    save(tmp_path / "images" / "late.png", photo(20))
    save(tmp_path / "masks" / "late.png", binary(20))
    manifest, _ = report(tmp_path / "images", masks=tmp_path / "masks")
    assert {pair.mask for pair in manifest.pairs} == {
        "masks/late.png",
        *(f"images/a{number}_mask.png" for number in range(COUNT)),
    }
    assert not found(manifest, "image-without-mask")


def test_other_masks_of_the_same_names_do_not_take_pairs_apart(tmp_path):
    twins(tmp_path / "images", ".bmp", ".png")
    for number in range(COUNT):
        save(tmp_path / "masks" / f"a{number}.png", disc(number, classes=3))
    manifest, _ = report(tmp_path / "images", masks=tmp_path / "masks")
    assert len(manifest.pairs) == COUNT
    assert not found(manifest, "ambiguous")
    assert len(found(manifest, "mask-without-image")[0].files) == COUNT


def test_pictures_beside_boxed_pairs_raise_no_question_of_their_own(tmp_path):
    for number in range(COUNT):
        save(tmp_path / "images" / f"a{number}.png", photo(number))
        save(tmp_path / "masks" / f"a{number}.png", binary(number))
        save(tmp_path / "images" / f"b{number}_left.png", photo(number + 20))
        save(tmp_path / "images" / f"b{number}_right.png", photo(number + 40))
    manifest, _ = report(tmp_path / "images", masks=tmp_path / "masks")
    assert len(manifest.pairs) == COUNT
    assert not found(manifest, "which-mask")


def colours(folder, *rgb, mode="RGB"):
    """Masks that are black but for one band of each colour; as RGB, or as a palette."""
    for number in range(4):
        ids = disc(number, classes=len(rgb) + 1)
        table = np.array([(0, 0, 0), *rgb], np.uint8)
        mask = Image.fromarray(table[ids])
        if mode == "P":
            mask = Image.fromarray(ids)
            mask.putpalette(table.ravel().tolist())
        save(folder / "images" / f"{number}.png", photo(number))
        (folder / "masks").mkdir(exist_ok=True)
        mask.save(folder / "masks" / f"{number}.png")
    return report(folder)[0]


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_classes_that_came_as_colours_keep_them(tmp_path, mode):
    manifest = colours(tmp_path / "set", (255, 0, 0), (0, 0, 255), mode=mode)
    drawn = {info.color for info in manifest.classes if not info.is_background}
    assert drawn == {"#ff0000", "#0000ff"}
    assert [info.color for info in manifest.classes if info.is_background] == ["#404040"]
    if mode == "RGB":
        assert manifest.decisions[:3] == [
            "Masks: 3 classes: each of the 3 colours is its own class.",
            "The masks hold 3 colours.",
            "Background is 'colour #000000': black, and the largest class.",
        ]


@pytest.mark.parametrize("two", [(240, 0, 0), (64, 64, 70)], ids=["like another", "like the background"])
def test_colours_that_could_be_mixed_up_give_way_to_ours(tmp_path, two):
    manifest = colours(tmp_path / "set", (255, 0, 0), two)
    assert not {"#ff0000", "#f00000", "#404046"} & {info.color for info in manifest.classes}


def test_greys_of_a_palette_are_no_colours(tmp_path):
    manifest = colours(tmp_path / "set", (255, 255, 255), mode="P")
    assert "#ffffff" not in {info.color for info in manifest.classes}
