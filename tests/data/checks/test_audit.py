"""Each finding of the audit appears on a set made for it, with its files and its click, and on no sound set."""

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.checks.audit import SEVERITIES, audit, check_sizes, looks_swapped
from unetlab.data.checks.sequences import group_by_sequence
from unetlab.data.checks.split import assign
from unetlab.data.manifest import Choices, ClassInfo, Finding, Pair
from unetlab.data.readers.facts import ImageFacts, MaskFacts

CLASSES = [
    ClassInfo(id=0, name="background", color="#000000", pixels=0, is_background=True),
    ClassInfo(id=1, name="cell", color="#ff0000", pixels=0),
    ClassInfo(id=2, name="nucleus", color="#00ff00", pixels=0),
]
# fmt: off
WORDS = [
    "ash", "birch", "cedar", "elm", "fir", "hazel", "holly", "larch", "lime", "maple",
    "oak", "pine", "plum", "rowan", "spruce", "willow", "yew", "alder", "beech", "box",
]
# fmt: on


def thumb(seed: int) -> str:
    return base64.b64encode(np.random.default_rng(seed).integers(0, 256, 256, np.uint8).tobytes()).decode()


class Made:
    """A sound set of named pictures, a quarter of them in validation; what a test changes is set by place."""

    def __init__(self, count: int = 20, names: list[str] | None = None):
        self.names = names or WORDS[:count]
        count = len(self.names)
        self.pairs: list[dict[str, Any]] = [
            {
                "name": name,
                "image": f"images/{name}.png",
                "mask": f"masks/{name}.png",
                "matched_by": "name",
                "split": "valid" if place % 4 == 3 else "train",
                "height": 100,
                "width": 120,
                "image_key": f"image {place}",
                "mask_key": f"mask {place}",
            }
            for place, name in enumerate(self.names)
        ]
        self.images: list[dict[str, Any]] = [
            {
                "mode": "L",
                "bits": 8,
                "low": [0.0],
                "high": [255.0],
                "mean": [100.0],
                "std": [50.0],
                "num_levels": 200,
                "thumb": thumb(place),
            }
            for place in range(count)
        ]
        self.masks: list[dict[str, Any]] = [
            {"mode": "grey", "num_pixels": 12_000, "values": {0: 7000, 1: 4000, 2: 1000}, "num_values": 3}
            for _ in range(count)
        ]
        self.class_pixels = [[7000, 4000, 1000] for _ in range(count)]
        self.classes = CLASSES
        self.choices = Choices()
        self.is_given_split = False
        self.swapped: list[int] = []

    def found(self) -> dict[str, Finding]:
        """Findings by code; fails when a code comes twice."""
        findings = audit(
            [Pair(**pair) for pair in self.pairs],
            [ImageFacts(**image) for image in self.images],
            [MaskFacts(**mask) for mask in self.masks],
            self.class_pixels,
            self.classes,
            self.choices,
            is_given_split=self.is_given_split,
            swapped=self.swapped,
        )
        assert len({finding.code for finding in findings}) == len(findings)
        return {finding.code: finding for finding in findings}

    def only(self, code: str) -> Finding:
        """The finding of this code, which has to be the only one."""
        found = self.found()
        assert list(found) == [code]
        return found[code]

    def file(self, place: int) -> str:
        return f"images/{self.names[place]}.png"


def change_of(finding: Finding) -> dict[str, Any]:
    """What the only click of a finding sets; Choices must know the fields."""
    (fix,) = finding.fixes
    Choices(**fix.change)
    return fix.change


def test_a_sound_set_calls_for_nothing():
    assert Made().found() == {}


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pairs_are_an_error(count):
    finding = Made(count).only("too-few") if count == 0 else Made(count).found()["too-few"]
    assert finding.severity == "error"
    assert "At least 2" in finding.effect


def test_one_pair_beside_test_pictures_is_an_error():
    made = Made(12)
    made.is_given_split = True
    for pair in made.pairs[1:]:
        pair["split"] = "test"
    assert "besides the test pictures" in made.found()["too-few"].message


def test_few_pairs_are_said_to_give_unsure_scores():
    finding = Made(9).only("few-pairs")
    assert finding.severity == "info"
    assert finding.message == "9 pairs are few, and scores come from 2 validation pictures."
    assert "few-pairs" not in Made(10).found()


# pictures


def test_constant_pictures_are_named_and_left_out_by_a_click():
    made = Made()
    for place in (2, 5, 6, 8):
        made.images[place] |= {"low": [7.0], "high": [7.0], "num_levels": 1}
    finding = made.only("constant-image")
    assert finding.message == (
        "4 of 20 pictures have one value everywhere: images/cedar.png, images/hazel.png, images/holly.png and 1 more."
    )
    assert finding.files == [made.file(place) for place in (2, 5, 6, 8)]
    assert change_of(finding) == {"excluded": finding.files}


def test_equal_constant_pictures_are_no_duplicates():
    made = Made()
    for place in (2, 3):
        made.images[place] |= {"low": [7.0], "high": [7.0], "num_levels": 1}
        made.pairs[place]["image_key"] = "black"
    made.only("constant-image")


def test_no_click_leaves_fewer_than_two_pairs():
    made = Made(10)
    for image in made.images[1:]:
        image |= {"low": [7.0], "high": [7.0], "num_levels": 1}
    assert made.found()["constant-image"].fixes == []


def test_one_page_of_a_stack_is_named_and_the_stack_not_left_out_for_it():
    made = Made()
    for place in range(4):
        made.pairs[place] |= {"image": "stack.tif", "page": place}
        made.images[place]["pages"] = 4
    made.images[2] |= {"low": [7.0], "high": [7.0], "num_levels": 1}
    finding = made.only("constant-image")
    assert "stack.tif page 3" in finding.message
    assert finding.files == ["stack.tif"]
    assert finding.fixes == []
    for place in range(4):
        made.images[place] |= {"low": [7.0], "high": [7.0], "num_levels": 1}
    assert change_of(made.found()["constant-image"]) == {"excluded": ["stack.tif"]}


def test_pixels_without_a_measurement_are_told_with_their_number_mark_and_what_becomes_of_them():
    made = Made()
    made.images[4] |= {"num_invalid": 1200, "marks": ["-9999"]}
    made.images[7] |= {"num_invalid": 1200, "marks": ["NaN", "-9999"]}
    made.class_pixels[4] = made.class_pixels[7] = [6000, 3800, 1000]
    finding = made.only("invalid-pixels")
    assert "2 of 20 pictures hold pixels without a measurement, 2,400 in all (10 % of them)" in finding.message
    assert "filled with -9999, NaN" in finding.message
    assert "neither in the range of intensities nor in loss and scores" in finding.effect
    assert finding.files == [made.file(4), made.file(7)]


def test_pixels_without_a_measurement_are_not_blamed_on_the_masks():
    made = Made()
    for place in range(20):
        made.images[place] |= {"num_invalid": 6000, "marks": ["NaN"]}
        made.class_pixels[place] = [3500, 2000, 500]
    made.only("invalid-pixels")


@pytest.mark.parametrize(("height", "width", "is_tiny"), [(31, 500, True), (32, 40, False)])
def test_a_side_below_32_px_is_tiny(height, width, is_tiny):
    made = Made()
    for place in range(20):
        made.pairs[place] |= {"height": 40, "width": 250}
    made.pairs[1] |= {"height": height, "width": width}
    found = made.found()
    assert ("tiny-pictures" in found) == is_tiny
    if is_tiny:
        assert found["tiny-pictures"].files == [made.file(1)]


def test_very_different_sizes_are_told_with_the_extremes():
    made = Made()
    made.pairs[1] |= {"height": 400, "width": 480}
    made.class_pixels[1] = [112_000, 64_000, 16_000]
    finding = made.only("very-different-sizes")
    assert finding.message == "Pictures are 120×100 px (images/ash.png) to 480×400 px (images/birch.png)."
    assert finding.files == [made.file(1)]
    made.pairs[1]["width"] = 479
    assert made.found() == {}


def test_grey_among_colour_is_told_and_the_fewer_are_listed():
    made = Made()
    for place in range(20):
        made.images[place] |= {"low": [0.0] * 3, "high": [255.0] * 3} if place else {}
    finding = made.only("mixed-channels")
    assert finding.severity == "info"
    assert finding.message == (
        "1 of 20 pictures is grey, the others in colour. All are stored as RGB, grey as three equal channels."
    )
    assert finding.files == [made.file(0)]
    for image in made.images[3:]:
        image |= {"low": [0.0], "high": [255.0]}
    assert made.only("mixed-channels").files == [made.file(1), made.file(2)]


@pytest.mark.parametrize(("bits", "words"), [(16, "2 of 20 pictures have 16 bits a pixel"), (32, "2 with 32 bits")])
def test_mixed_depths_are_told_and_one_deep_depth_is_none(bits, words):
    made = Made()
    for place in (0, 1):
        made.images[place]["bits"] = bits
    finding = made.only("mixed-depth")
    assert words in finding.message
    assert finding.files == [made.file(0), made.file(1)]
    for image in made.images:
        image["bits"] = bits
    assert made.found() == {}


# masks and classes


def test_some_empty_masks_are_normal_and_most_of_them_are_not():
    made = Made()
    for place in range(10):
        made.class_pixels[place] = [12_000, 0, 0]
    finding = made.only("empty-mask")
    assert (finding.severity, finding.fixes) == ("info", [])
    assert "10 of 20 masks hold background only (50 %)" in finding.message
    made.class_pixels[10] = [12_000, 0, 0]
    finding = made.found()["empty-mask"]
    assert finding.severity == "warning"
    assert change_of(finding) == {"excluded": [made.file(place) for place in range(11)]}


def test_without_a_background_no_mask_is_empty():
    made = Made()
    made.classes = [info.model_copy(update={"is_background": False}) for info in CLASSES]
    made.class_pixels[0] = [12_000, 0, 0]
    assert made.found() == {}


def test_a_mask_with_everything_ignored_is_told_and_is_not_empty():
    made = Made()
    made.class_pixels[3] = [0, 0, 0]
    finding = made.only("all-ignored")
    assert change_of(finding) == {"excluded": [made.file(3)]}


def test_more_than_30_percent_ignored_is_told_with_the_worst_first():
    made = Made()
    for place in range(20):
        made.class_pixels[place] = [3000, 3000, 2400]  # 30 % of 12,000 are missing
    assert made.found() == {}
    made.class_pixels[7] = [1000, 1000, 1000]
    made.class_pixels[8] = [2000, 1000, 1000]
    finding = made.only("large-ignored-share")
    assert finding.message.startswith("34 % of all mask pixels are ignored, most of all in images/larch.png, images/")
    assert finding.files == [made.file(7), made.file(8)]


def test_masks_with_their_classes_swapped_are_named_and_left_out_by_a_click():
    made = Made()
    made.swapped = [3, 9]
    finding = made.only("swapped-classes")
    assert f"2 of 20 masks seem to have {' and '.join(info.name for info in CLASSES)} swapped" in finding.message
    assert made.pairs[3]["mask"] in finding.message
    assert change_of(finding) == {"excluded": [made.file(3), made.file(9)]}


def test_masks_saved_with_loss_are_an_info():
    made = Made()
    made.masks[5]["is_lossy"] = True
    finding = made.only("lossy-masks")
    assert finding.severity == "info"
    assert "masks/hazel.png" in finding.message


def test_a_class_that_no_mask_shows_is_told_once():
    made = Made()
    made.class_pixels = [[8000, 4000, 0] for _ in range(20)]
    assert made.only("class-not-seen").message == "No mask has a pixel of nucleus."


def test_a_class_in_one_picture_is_named_with_it_and_not_missed_on_the_other_side():
    made = Made()
    made.class_pixels = [[8000, 3000, 1000 if place == 6 else 0] for place in range(20)]
    found = made.found()
    assert set(found) == {"class-in-one-image", "imbalance"}
    assert found["class-in-one-image"].message == "1 class is seen in one picture only: nucleus (images/holly.png)."
    assert found["class-in-one-image"].files == [made.file(6)]


@pytest.mark.parametrize(("shown_on", "code"), [("train", "class-not-in-valid"), ("valid", "class-not-in-train")])
def test_a_class_on_one_side_gets_a_seed_that_puts_every_class_on_both(shown_on, code):
    made = Made()
    seen = [place for place, pair in enumerate(made.pairs) if pair["split"] == shown_on][:4]
    made.class_pixels = [[8000, 3000, 1000 if place in seen else 0] for place in range(20)]
    finding = made.only(code)
    assert "nucleus" in finding.message
    assert finding.files == [made.file(place) for place in seen]
    seed = change_of(finding)["seed"]
    assert seed != made.choices.seed
    splits = assign(made.names, valid_fraction=0.2, seed=seed)
    assert {splits[place] for place in seen} == {"train", "valid"}


@pytest.mark.parametrize("shown", [(3, 20, 35), (0, 39), (9, 30), (1, 22), (17, 38)])
def test_the_seed_also_fits_when_neighbours_are_kept_together(shown):
    made = Made(names=[f"z{number:02d}" for number in range(40)])
    made.choices = Choices(grouping="sequence")
    made.class_pixels = [[8000, 3000, 1000 if place in shown else 0] for place in range(40)]
    for place, pair in enumerate(made.pairs):
        pair["split"] = "train" if place in shown else "valid"
    seed = change_of(made.found()["class-not-in-valid"])["seed"]
    splits = assign(made.names, valid_fraction=0.2, seed=seed, groups=group_by_sequence(made.names))
    assert {splits[place] for place in shown} == {"train", "valid"}


def test_no_seed_is_offered_for_a_given_split():
    made = Made()
    made.is_given_split = True
    made.class_pixels = [[8000, 3000, 1000 if place in (0, 1) else 0] for place in range(20)]
    found = made.found()
    assert set(found) == {"given-split", "class-not-in-valid", "imbalance"}
    assert found["class-not-in-valid"].fixes == []


def test_a_rare_class_is_told_with_its_share_and_the_background_never():
    made = Made()
    made.class_pixels = [[12_000 - 12 - 1200, 1200, 12] for _ in range(20)]
    finding = made.only("imbalance")
    assert finding.severity == "info"
    assert finding.message == "Less than 1 % of the pixels: nucleus 0.1 %."
    made.class_pixels = [[12, 6000, 5988] for _ in range(20)]
    assert made.found() == {}


# copies and neighbours


def test_exact_copies_with_the_same_mask_leave_the_training_one():
    made = Made()
    for place in (3, 4, 9):  # 3 validates
        made.pairs[place] |= {"image_key": "same", "mask_key": "same mask"}
        made.images[place]["thumb"] = thumb(99)
    finding = made.only("duplicate-images")
    assert finding.message.startswith(
        "2 exact copies of other pictures, with the same mask: images/elm.png is the same as images/fir"
    )
    assert "better than on new pictures" in finding.effect
    assert finding.files == [made.file(place) for place in (3, 4, 9)]
    assert change_of(finding) == {"excluded": [made.file(3), made.file(9)]}


def test_copies_with_different_masks_contradict_each_other():
    made = Made()
    for place in (0, 1):
        made.pairs[place]["image_key"] = "same"
        made.images[place]["thumb"] = thumb(99)
    finding = made.only("contradicting-masks")
    assert finding.severity == "warning"
    assert finding.files == [made.file(0), made.file(1)]
    assert "better than on new pictures" not in finding.effect  # both train


def test_near_copies_count_only_across_the_split_and_the_validation_copy_goes():
    made = Made()
    cells = np.frombuffer(base64.b64decode(made.images[0]["thumb"]), np.uint8).astype(int)
    near = base64.b64encode(np.clip(cells // 2 + 40, 0, 255).astype(np.uint8).tobytes()).decode()
    made.images[1]["thumb"] = near  # trains like 0
    assert made.found() == {}
    made.images[3]["thumb"] = near
    finding = made.only("near-duplicates-across-split")
    assert "images/elm.png (validation) and images/" in finding.message
    assert finding.files == [made.file(0), made.file(1), made.file(3)]
    assert finding.together == [[made.file(1), made.file(3)]]  # each copy once, behind the one that it copies most
    assert change_of(finding) == {"excluded": [made.file(3)]}
    assert finding.fixes[0].label == "Leave out the validation copies"
    made.is_given_split = True
    assert set(made.found()) == {"given-split", "leak-across-given-split"}
    made.pairs[4]["split"] = "test"
    made.images[4]["thumb"] = near
    assert made.found()["leak-across-given-split"].advice == "Leave out the validation and test copies."


def test_where_all_validation_pictures_are_copies_the_training_copies_go():
    made = Made()
    for place in range(3, 20, 4):
        made.images[place]["thumb"] = made.images[place - 1]["thumb"]
    finding = made.only("near-duplicates-across-split")
    assert finding.advice == "Leave out the training copies."
    assert change_of(finding) == {"excluded": [made.file(place) for place in range(2, 20, 4)]}


def test_no_click_takes_a_side_of_the_split_away():
    made = Made()
    for place in range(20):
        made.images[place]["thumb"] = made.images[0]["thumb"]
    finding = made.only("near-duplicates-across-split")
    assert (finding.fixes, finding.advice) == (
        [],
        "Leave out all but one of each group of copies, or add pictures that are no copies.",
    )


def test_the_near_copy_that_is_named_is_the_first_that_is_shown():
    made = Made()
    for place, noise in ((3, 40), (7, 4), (11, 20)):  # each a copy of the picture before it
        cells = np.frombuffer(base64.b64decode(made.images[place - 1]["thumb"]), np.uint8).astype(int)
        drawn = cells + np.random.default_rng(place).integers(-noise, noise + 1, len(cells))
        made.images[place]["thumb"] = base64.b64encode(np.clip(drawn, 0, 255).astype(np.uint8).tobytes()).decode()
    finding = made.only("near-duplicates-across-split")
    assert f"{made.file(7)} (validation) and {made.file(6)} (training)" in finding.message
    assert finding.together == [[made.file(place - 1), made.file(place)] for place in (7, 11, 3)]


def in_film(made: Made) -> None:
    """Gives neighbouring pictures like thumbs: each is a blend of one picture and the next."""
    scenes = np.random.default_rng(7).integers(0, 256, (len(made.names) // 4 + 2, 256))
    for place, image in enumerate(made.images):
        share = place % 4 / 4
        cells = scenes[place // 4] * (1 - share) + scenes[place // 4 + 1] * share
        image["thumb"] = base64.b64encode(cells.astype(np.uint8).tobytes()).decode()


def test_frames_that_look_alike_are_a_warning_and_kept_together_by_a_click():
    made = Made(names=[f"frame_{number:03d}" for number in range(30)])
    in_film(made)
    found = made.found()
    finding = found["sequence"]
    assert finding.severity == "warning"
    assert finding.message == (
        "30 pictures numbered 0 to 29, and neighbours look alike, as frames of a film or slices of a stack do: "
        "14 times one of them trains and the next one validates."
    )
    assert change_of(finding) == {"grouping": "sequence"}
    assert set(found) == {"sequence"}  # near copies among the frames have the same cause: no second finding
    assert all(len(couple) == 2 for couple in finding.together)
    assert [made.file(1), made.file(2)] in finding.together or len(finding.together) == 12


def test_numbered_pictures_that_do_not_look_alike_are_an_info():
    finding = Made(names=[f"{number:03d}" for number in range(30)]).only("sequence")
    assert finding.severity == "info"
    assert finding.message.startswith("30 pictures numbered 0 to 29. If they are frames")


@pytest.mark.parametrize("reason", ["given", "grouped"])
def test_a_sequence_is_not_told_when_the_split_is_given_or_neighbours_are_together(reason):
    made = Made(names=[f"{number:03d}" for number in range(30)])
    made.is_given_split = reason == "given"
    made.choices = Choices(grouping="sequence" if reason == "grouped" else "none")
    assert "sequence" not in made.found()


def test_a_given_split_is_told_with_its_numbers():
    made = Made()
    made.is_given_split = True
    made.pairs[0]["split"] = "test"
    assert made.only("given-split").message == (
        "The split that folders or lists give is kept: 14 training, 5 validation, 1 test pictures."
    )


def test_errors_come_first_then_what_concerns_more_files():
    made = Made(9)
    made.images[0] |= {"num_invalid": 1, "marks": ["NaN"]}
    for place in (1, 2):
        made.pairs[place]["height"] = 20
    made.masks[4]["is_lossy"] = True
    assert list(made.found()) == ["tiny-pictures", "invalid-pixels", "lossy-masks", "few-pairs"]


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_set_is_audited_with_one_finding_per_code_in_order_and_with_known_files(data):
    made = Made(data.draw(st.integers(0, 20)), names=None)
    for place in range(len(made.names)):
        made.pairs[place] |= {
            "split": data.draw(st.sampled_from(["train", "valid", "test"])),
            "image_key": data.draw(st.sampled_from(["", "a", "b", f"{place}"])),
            "mask_key": data.draw(st.sampled_from(["", "a", f"{place}"])),
            "height": data.draw(st.sampled_from([1, 40, 4000])),
        }
        made.images[place] |= data.draw(st.sampled_from([{}, {"low": [1.0], "high": [1.0], "num_levels": 1}]))
        made.images[place]["thumb"] = thumb(data.draw(st.integers(0, 5)))
        made.class_pixels[place] = [4000 * data.draw(st.integers(0, 1)) for _ in range(3)]
    made.is_given_split = data.draw(st.booleans())
    findings = list(made.found().values())
    order = [(SEVERITIES.index(finding.severity), -len(finding.files)) for finding in findings]
    assert order == sorted(order)
    for finding in findings:
        assert set(finding.files) <= {pair["image"] for pair in made.pairs}
        assert len(set(finding.files)) == len(finding.files)
        for fix in finding.fixes:
            Choices(**fix.change)
            assert len(made.pairs) - len(fix.change.get("excluded", [])) >= 2


# sizes


def sizes_of(image: tuple[int, int], mask: tuple[int, int]) -> tuple[list[int], list[str]]:
    usable, findings = check_sizes([("a.jpg", "a.png", image, mask)])
    return usable, [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("image", "mask", "code"),
    [
        ((10, 12), (10, 12), None),
        ((10, 12), (20, 24), "mask-scaled"),
        ((1000, 667), (500, 334), "mask-scaled"),  # 333.5 rounded up
        ((1000, 667), (500, 333), "mask-scaled"),  # and down
        ((1080, 1920), (360, 640), "mask-scaled"),
        ((12, 10), (9, 9), "sizes-differ"),
        ((512, 512), (512, 513), "mask-scaled"),  # 512 x 513 times 0.99903 rounds to it
        ((512, 512), (512, 514), "sizes-differ"),
        ((512, 512), (500, 512), "sizes-differ"),
        ((480, 640), (640, 480), "mask-turned"),
        ((480, 640), (320, 240), "mask-turned"),
    ],
)
def test_sizes_are_judged_by_aspect(image, mask, code):
    usable, codes = sizes_of(image, mask)
    assert codes == ([code] if code else [])
    assert usable == ([0] if code in (None, "mask-scaled") else [])


@given(
    height=st.integers(20, 3000),
    width=st.integers(20, 3000),
    scale=st.floats(0.1, 1),
    is_mask_larger=st.booleans(),
)
@settings(deadline=None)
def test_a_rounded_scaled_copy_of_any_size_is_usable(height, width, scale, is_mask_larger):
    small = max(1, round(height * scale)), max(1, round(width * scale))
    sizes = (small, (height, width)) if is_mask_larger else ((height, width), small)
    assert sizes_of(*sizes)[0] == [0]


def test_the_sentence_about_sizes_names_files_and_sizes():
    good = ("g.jpg", "g.png", (5, 6), (5, 6))
    usable, (finding,) = check_sizes([("X", "Y", (12, 10), (9, 9)), good])
    assert usable == [1]
    assert finding.message == ("X has 10×12 px, its mask Y 9×9 px. The pair is left out: export both at the same size.")
    assert finding.files == ["X"]


def test_many_differing_sizes_are_one_finding():
    usable, (finding,) = check_sizes([(f"{i}.jpg", f"{i}.png", (12, 10), (9, 9)) for i in range(6)])
    assert usable == []
    assert "The pair is left out, and 5 others like it (1.jpg, 2.jpg and 3 more): export" in finding.message
    assert len(finding.files) == 6


# swapped boxes


def facts_of(num_levels: int, values: dict[int, int], num_values: int) -> tuple[ImageFacts, MaskFacts]:
    made = Made(1)
    return (
        ImageFacts(**(made.images[0] | {"num_levels": num_levels})),
        MaskFacts(mode="grey", num_pixels=10_000, values=values, num_values=num_values),
    )


PHOTO = dict.fromkeys(range(200), 50)
LABELS = {0: 9000, 1: 1000}
JPEG_MASK = {0: 7000, 1: 500, 2: 300, 255: 1500, 254: 300} | dict.fromkeys(range(10, 210), 2)


@pytest.mark.parametrize(
    ("levels", "values", "is_swapped"),
    [
        (2, PHOTO, True),
        (21, PHOTO, True),
        (200, LABELS, False),
        (200, PHOTO, False),  # both look like photographs: soft masks
        (2, LABELS, False),  # drawings as pictures
        (2, JPEG_MASK, False),  # scanned pages with masks saved as JPEG
    ],
)
def test_boxes_are_swapped_when_pictures_are_flat_and_masks_photographs(levels, values, is_swapped):
    image, mask = facts_of(levels, values, len(values))
    assert looks_swapped([image] * 10, [mask] * 10) == is_swapped


def test_one_photograph_among_ten_pictures_does_not_hide_the_swap_and_two_do():
    flat, photo = facts_of(2, PHOTO, 200)
    deep, _ = facts_of(250, PHOTO, 200)
    assert looks_swapped([flat] * 9 + [deep], [photo] * 10)
    assert not looks_swapped([flat] * 8 + [deep] * 2, [photo] * 10)


def test_nothing_is_not_swapped():
    assert not looks_swapped([], [])
