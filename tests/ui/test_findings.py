"""Findings on the page: what is said, how much of it at once, and that each click does what it says."""

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.ui.test_pages import words
from unetlab.data import changes
from unetlab.data.dataset import DataSet
from unetlab.data.manifest import Choices, ClassInfo, Finding, Fix, Manifest, Pair
from unetlab.errors import DataError

PAIRS = [Pair(name=n, image=f"{n}.png", mask=f"{n}_mask.png", matched_by="same name") for n in "ab"]
CLASSES = [ClassInfo(id=i, name=name, color="#000000", pixels=1) for i, name in enumerate(["background", "cell"])]
SWAPPED = Finding(
    code="swapped",
    severity="error",
    message="Pictures look like masks.",
    effect="It would learn nonsense.",
    advice="Swap them.",
    fixes=[Fix(label="Swap pictures and masks", change={"is_swapped": True})],
)
READING = Finding(
    code="reading", message="3 may be a stray.", fixes=[Fix(label="Each value", change={"reading": None})]
)
IGNORED = Finding(code="ignored-files", severity="info", message="1 file is not used: Thumbs.db.")


def near_misses(count: int) -> list[Finding]:
    pairs = [(f"cell_{n}.png", f"cel_{n}_mask.png") for n in range(count)]
    take_all = Fix(label=f"Pair all {count}", change={"pairs": pairs})
    every = Finding(
        code="near-misses", message=f"{count} pictures have a mask with nearly the same name.", fixes=[take_all]
    )
    single = [
        Finding(
            code="near-miss",
            message=f"{image} and {mask} are probably a pair: one letter differs.",
            effect="Neither is used as it stands.",
            files=[image, mask],
            fixes=[Fix(label="Pair them", change={"pairs": [(image, mask)]})],
        )
        for image, mask in pairs
    ]
    return [every, *single]


def manifest(*found: Finding, **more) -> Manifest:
    given = {"name": "cells", "created": "", "pairs": PAIRS, "classes": CLASSES, "findings": list(found)}
    return Manifest(**given | more)


@pytest.fixture
def show(tmp_path, monkeypatch):
    """Draws headline and findings of a manifest; `show.clicked` holds the changes that clicks asked for."""
    clicked = []

    def show(*found: Finding, **more) -> AppTest:
        drawn[:] = [DataSet(tmp_path, manifest(*found, **more))]
        app = AppTest.from_function(draw_page).run()
        assert not app.exception
        return app

    show.clicked = clicked
    monkeypatch.setattr(changes, "revise", lambda folder, change: clicked.append((folder, change)))
    return show


drawn: list[DataSet] = []


def draw_page() -> None:
    from tests.ui.test_findings import drawn
    from unetlab.ui import findings

    findings.headline(drawn[0])
    findings.draw(drawn[0])


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [button for button in app.button if button.label == label]
    return button.click().run()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "2 pairs, 2 classes, no problems found"),
        ([IGNORED], "2 pairs, 2 classes, no problems found"),
        ([READING], "2 pairs, 2 classes, 1 warning"),
        ([SWAPPED, READING], "2 pairs, 2 classes, 1 error, 1 warning"),
        (near_misses(20), "2 pairs, 2 classes, 1 warning"),
    ],
)
def test_the_headline_counts_what_needs_a_person(show, found, says):
    assert [header.value for header in show(*found).subheader] == [says]


def test_dismissed_warnings_are_counted_where_nothing_else_is_left(show):
    every = [READING, *near_misses(20)]
    app = show(*every, choices=Choices(acknowledged=[finding.key for finding in every]))
    assert app.subheader[0].value == "2 pairs, 2 classes, 2 warnings dismissed"
    app = show(*every, choices=Choices(acknowledged=[READING.key]))
    assert app.subheader[0].value == "2 pairs, 2 classes, 1 warning"


def test_errors_stand_first_and_small_things_are_folded_away(show):
    app = show(IGNORED, READING, SWAPPED)
    said = words(app)
    assert said.index("Errors") < said.index("Pictures look like masks") < said.index("Warnings")
    assert said.index("Warnings") < said.index("3 may be a stray")
    assert [fold.label for fold in app.expander] == ["Notes (1)"]
    assert "Thumbs.db" in app.expander[0].markdown[0].value
    assert "It would learn nonsense. Swap them." in [caption.value for caption in app.caption]


def test_a_click_asks_for_its_change_and_nothing_else(show, tmp_path):
    press(show(SWAPPED, *near_misses(2)), "Swap pictures and masks")
    assert show.clicked == [(tmp_path, {"is_swapped": True})]


def test_twenty_near_misses_are_three_rows_with_pair_all_first(show):
    app = show(*near_misses(20))
    (more,) = [fold for fold in app.expander if "more of this kind" in fold.label]
    assert more.label == "18 more of this kind"
    open_rows = [b.label for b in app.button if b.key not in {inner.key for inner in more.button}]
    assert open_rows == ["Pair all 20", "Dismiss", "Pair them", "Pair them"]
    assert [caption.value for caption in app.caption].count("Neither is used as it stands.") == 1
    press(app, "Pair all 20")
    ((_, change),) = show.clicked
    assert len(change["pairs"]) == 20


def test_each_of_many_equal_labels_does_its_own(show):
    app = show(*near_misses(20))
    every = [button for button in app.button if button.label == "Pair them"]
    every[13].click().run()
    assert show.clicked[0][1] == {"pairs": [("cell_13.png", "cel_13_mask.png")]}


def test_many_or_long_ways_out_are_a_list_and_the_chosen_one_is_applied(show):
    fixes = [Fix(label=f"'kind {n}' is the mask", change={"mask_kind": f"kind {n}"}) for n in range(4)]
    app = show(Finding(code="which-mask", severity="error", message="Several files.", fixes=fixes))
    assert [button.label for button in app.button] == ["Apply"]
    app.selectbox[0].set_value(2).run()
    press(app, "Apply")
    assert show.clicked[0][1] == {"mask_kind": "kind 2"}


def test_the_question_of_the_reading_points_to_its_panel_and_offers_no_second_way(show):
    app = show(READING)
    assert "(#how-the-masks-are-read)" in words(app)
    assert not app.button


def test_more_files_than_a_message_names_are_listed_on_request(show):
    files = [f"{n}.png" for n in range(12)]
    app = show(Finding(code="image-without-mask", message="12 pictures have no mask.", files=files))
    (fold,) = app.get("popover")
    assert fold.proto.popover.label == "12 files"
    assert list(app.dataframe[0].value["file"]) == files


def test_a_warning_that_looks_right_is_hidden_and_shown_again(show, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(changes, "acknowledge", lambda folder, keys, is_right: asked.append((folder, keys, is_right)))
    odd = Finding(code="odd", message="Two are odd.", files=["a.png"])
    app = show(odd, SWAPPED)
    press(app, "Dismiss")  # one button: an error cannot be acknowledged
    assert asked == [(tmp_path, [odd.key], True)]
    app = show(odd, SWAPPED, choices=Choices(acknowledged=[odd.key, SWAPPED.key]))
    assert [header.value for header in app.subheader] == ["2 pairs, 2 classes, 1 error"]
    (fold,) = [fold for fold in app.expander if fold.label == "Dismissed warnings (1)"]
    assert fold.markdown[0].value == "Two are odd."
    press(app, "Show again")
    assert asked[1] == (tmp_path, [odd.key], False)


def test_a_family_is_acknowledged_as_one(show, monkeypatch):
    asked = []
    monkeypatch.setattr(changes, "acknowledge", lambda folder, keys, is_right: asked.append(keys))
    press(show(*near_misses(20)), "Dismiss")
    assert len(asked[0]) == 21


def test_what_an_error_repeats_is_one_card(show):
    bad = Finding(code="unreadable", message="a.png is empty. The pair is left out.")
    error = Finding(code="too-few", severity="error", message=f"There is no usable pair.\n  {bad.message}")
    said = words(show(error, bad))
    assert said.count("a.png is empty".replace(".", "\\.")) + said.count("a.png is empty") == 1
    assert "1 error" in said
    assert "warning" not in said.lower()


def alts(app: AppTest) -> list[str]:
    return [shown.alt for image in app.get("image") for shown in image.proto.imgs]


@pytest.fixture
def originals(tmp_path):
    """A folder of files a.png to h.png, as a staging folder has them."""
    (tmp_path / "originals").mkdir()
    for number, stem in enumerate("abcdefgh"):
        Image.fromarray(np.full((9, 12), 20 * number, np.uint8)).save(tmp_path / "originals" / f"{stem}.png")
    (tmp_path / "originals" / "bad.png").write_bytes(b"no picture")


def test_each_answer_shows_its_pictures_above_its_button(show, originals):
    fixes = [
        Fix(label=f"'{mask}' is the mask", change={"mask_kind": mask}, examples=["a.png", f"{mask}.png"])
        for mask in "bcd"
    ]
    app = show(Finding(code="which-mask", severity="error", message="Several.", files=["e.png"], fixes=fixes))
    assert alts(app) == ["a.png", "b.png", "a.png", "c.png", "a.png", "d.png"]
    assert [button.label for button in app.button] == [fix.label for fix in fixes]


def test_copies_stand_beside_what_they_copy_with_their_sides(show, originals):
    together = [["a.png", "c.png"], ["b.png", "d.png"], ["e.png", "f.png"], ["g.png", "h.png"]]
    app = show(Finding(code="duplicate-images", message="4 copies.", files=["a.png"], together=together))
    assert alts(app) == ["a.png", "c.png", "b.png", "d.png", "e.png", "f.png"]
    captions = [caption for image in app.get("image") for caption in image.captions]
    assert captions[:2] == ["a.png · training", "c.png"]  # c is in no pair
    assert [fold.label for fold in app.expander] == ["1 more"]


def test_a_warning_about_files_shows_the_first_and_names_those_that_cannot_be_read(show, originals):
    app = show(Finding(code="odd", message="Odd.", files=["a.png", "bad.png", "b.png", "c.png"]))
    assert alts(app) == ["a.png", "b.png"]
    assert "bad.png" in words(app)
    assert alts(show(Finding(code="odd", severity="info", message="Odd.", files=["a.png"]))) == []


def test_what_the_masks_were_taken_for_stands_below_the_headline(show):
    note = Finding(code="which-mask", severity="info", message="The .png files are the masks.")
    app = show(note, IGNORED)
    said = words(app)
    assert said.count("The .png files are the masks.") == 1
    assert [fold.label for fold in app.expander] == ["Notes (1)"]


def test_a_stored_set_says_among_its_notes_what_the_masks_were_taken_for(show):
    note = Finding(code="which-mask", severity="info", message="The .png files are the masks.")
    app = show(note, IGNORED, created="2026")
    (fold,) = app.expander
    assert fold.label == "Notes (2)"
    assert note.message in [line.value for line in fold.markdown]
    assert words(app).count(note.message) == 1


def test_what_cannot_be_done_is_said_and_not_raised(show, monkeypatch):
    def refuse(folder, change):
        raise DataError("This would leave no pair.")

    app = show(SWAPPED)
    monkeypatch.setattr(changes, "revise", refuse)
    press(app, "Swap pictures and masks")
    assert not app.exception
    assert app.session_state["problem"] == "This would leave no pair."
