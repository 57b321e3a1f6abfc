"""Imports of generated drops: what comes out, and that a failed one leaves nothing."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from unetlab.data import importing
from unetlab.data.dataset import IGNORE, datasets_folder, open_dataset
from unetlab.data.importing import commit, discard, import_dataset, inspect, sweep_staging
from unetlab.errors import DataError, NeedsReading, NoPairs


def leftovers():
    return [path.name for path in datasets_folder().iterdir()]


def test_a_folder_becomes_a_data_set_that_gives_its_pixels_back(binary_set):
    manifest = import_dataset([binary_set], name="cells")
    data = open_dataset("cells")
    assert leftovers() == ["cells"]
    assert [pair.name for pair in manifest.pairs] == [str(number) for number in range(10)]
    assert data.class_names == ["background", "foreground"]
    assert data.background == 0
    for index, pair in enumerate(manifest.pairs):
        picture = np.asarray(Image.open(binary_set / pair.image))
        mask = np.asarray(Image.open(binary_set / pair.mask))
        assert np.allclose(data.image(index)[:, :, 0], picture / 255, atol=1e-6)
        assert data.image(index).dtype == np.float32
        assert np.array_equal(data.mask(index), mask // 255)
    assert sum(info.pixels for info in manifest.classes) == 10 * 120
    assert data.class_pixels("train").tolist() == [90 * 8, 30 * 8]
    assert (len(data.indices("train")), len(data.indices("valid"))) == (8, 2)


def test_originals_are_kept_as_dropped(binary_set, home):
    import_dataset([binary_set], name="cells")
    original = home / "datasets" / "cells" / "originals" / "masks" / "3.png"
    assert original.read_bytes() == (binary_set / "masks" / "3.png").read_bytes()


def test_statistics_are_those_of_the_training_pictures(binary_set):
    import_dataset([binary_set], name="cells")
    data = open_dataset("cells")
    pixels = np.concatenate([data.image(index).ravel() for index in data.indices("train")])
    mean, std = data.statistics()
    assert mean == pytest.approx([pixels.mean()], abs=1e-4)
    assert std == pytest.approx([pixels.std()], abs=1e-4)


def test_masks_in_a_folder_of_their_own_go_by_their_names(binary_set, home):
    manifest = import_dataset([binary_set / "images"], masks=binary_set / "masks", name="cells")
    assert len(manifest.pairs) == 10
    assert manifest.pairs[0].image == "images/0.png"
    assert manifest.pairs[0].mask == "masks/0.png"


def test_a_mask_folder_inside_the_picture_folder_is_not_taken_for_pictures(binary_set):
    manifest = import_dataset([binary_set], masks=binary_set / "masks", name="cells")
    assert len(manifest.pairs) == 10
    assert not manifest.unmatched_images


def test_loose_files_and_several_folders_are_sources(binary_set):
    several = import_dataset([binary_set / "images", binary_set / "masks"], name="several")
    assert len(several.pairs) == 10
    for path in (binary_set / "masks").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    files = [*(binary_set / "images").iterdir(), *(binary_set / "masks").iterdir()]
    assert len(import_dataset(files, name="loose").pairs) == 10


def test_a_name_that_is_taken_suggests_a_free_one(binary_set):
    import_dataset([binary_set], name="cells")
    import_dataset([binary_set], name="cells-2")
    with pytest.raises(DataError, match="'cells-3'"):
        import_dataset([binary_set], name="cells")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../a", ".hidden", "a" * 81])
def test_a_name_that_could_leave_the_folder_is_refused(name, binary_set):
    with pytest.raises(DataError, match="not a valid name"):
        import_dataset([binary_set], name=name)


@pytest.mark.parametrize("phase", ["copying", "reading masks", "decoding"])
def test_an_import_that_is_cut_off_leaves_nothing(phase, binary_set):
    def cancel(current, done, total):
        assert 0 < done <= total
        if current == phase and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dataset([binary_set], name="cells", progress=cancel)
    assert leftovers() == []


def test_progress_reaches_the_end_of_each_phase(binary_set):
    told = {}
    import_dataset([binary_set], name="cells", progress=lambda *event: told.update({event[0]: event[1:]}))
    assert told == {"copying": (20, 20), "reading masks": (10, 10), "decoding": (10, 10)}


def test_what_a_killed_import_left_is_swept_after_a_day(binary_set):
    old, young = datasets_folder() / ".staging-old", datasets_folder() / ".staging-young"
    for path in (old, young):
        path.mkdir()
    os.utime(old, (time.time() - 90_000,) * 2)
    import_dataset([binary_set], name="cells")
    assert sorted(leftovers()) == [".staging-young", "cells"]
    assert sweep_staging(older_than_s=-1) == 1


def test_a_question_leaves_nothing_and_its_answer_imports(make_set):
    mask = np.zeros((20, 20), np.uint8)
    mask[5:9] = 255
    odd = mask.copy()
    odd[0, 0] = 3
    folder = make_set({f"{number}.png": odd if number == 1 else mask for number in range(5)})
    with pytest.raises(NeedsReading):
        import_dataset([folder], name="cracks")
    assert leftovers() == []
    manifest = import_dataset([folder], name="cracks", reading="binary")
    assert [info.values for info in manifest.classes] == [[0, 3], [255]]
    strays = import_dataset([folder], name="strays", reading="ignore-strays")
    assert strays.ignored_pixels == 1
    assert strays.ignored_values == [3]
    assert any(problem.code == "ignored-class" for problem in strays.problems)
    with pytest.raises(DataError, match="binray"):
        import_dataset([folder], name="typo", reading="binray")


def test_an_inspection_can_be_answered_later_without_reading_again(make_set):
    mask = np.zeros((20, 20), np.uint8)
    mask[5:9] = 255
    mask[0, 0] = 3
    inspection = inspect([make_set({"1.png": mask, "2.png": np.minimum(mask, 3) * 85, "3.png": mask // 255 * 255})])
    assert inspection.question is not None
    assert inspection.survey.pixels[3] == 1
    with pytest.raises(NeedsReading):
        commit(inspection, name="cells")
    with pytest.raises(DataError, match="not a valid name"):
        commit(inspection, name="..", reading="binary")
    assert commit(inspection, name="cells", reading="binary").classes[1].values == [255]
    assert leftovers() == ["cells"]


def test_an_inspection_can_be_discarded(binary_set):
    inspection = inspect([binary_set])
    assert inspection.reading is not None
    discard(inspection)
    assert leftovers() == []


def test_no_pairs_says_which_names_are_understood(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    with pytest.raises(NoPairs, match=r"Pictures: a\.png, b\.png(.|\n)*1_mask\.png"):
        import_dataset([tmp_path], name="cells")
    assert leftovers() == []


def test_one_pair_is_not_enough(make_set):
    with pytest.raises(DataError, match="one usable pair"):
        import_dataset([make_set({"1.png": np.array([[0, 255]], np.uint8)})], name="cells")


def test_all_empty_masks_are_refused(make_set):
    masks = {f"{number}.png": np.zeros((4, 4), np.uint8) for number in range(4)}
    with pytest.raises(DataError, match="All 4 masks have only the value 0"):
        import_dataset([make_set(masks)], name="cells")


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        import_dataset([tmp_path / "nowhere"], name="cells")


@pytest.mark.parametrize("part", ["images", "masks"])
def test_an_unreadable_file_is_left_out_and_the_rest_imported(part, binary_set):
    (binary_set / part / "3.png").write_text("no picture")
    content = (binary_set / part / "5.png").read_bytes()
    (binary_set / part / "5.png").write_bytes(content[: len(content) - 30])  # the header is whole
    manifest = import_dataset([binary_set], name="cells")
    assert [pair.name for pair in manifest.pairs] == list("01246789")
    assert sorted(problem.file for problem in manifest.problems) == [f"{part}/3.png", f"{part}/5.png"]
    assert all(problem.code == "unreadable" for problem in manifest.problems)
    assert np.array_equal(open_dataset("cells").mask(3), np.asarray(Image.open(binary_set / "masks/4.png")) // 255)


def test_when_nothing_can_be_read_the_first_reasons_are_told(binary_set):
    for path in (binary_set / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no usable pair(.|\n)*empty(.|\n)*and 7 more"):
        import_dataset([binary_set], name="cells")


def test_sizes_that_differ_leave_the_pair_out_and_name_both(binary_set):
    Image.new("L", (7, 12)).save(binary_set / "masks" / "4.png")
    manifest = import_dataset([binary_set], name="cells")
    assert len(manifest.pairs) == 9
    assert manifest.problems[0].code == "sizes-differ"
    assert "10×12 px" in manifest.problems[0].message
    assert "7×12 px" in manifest.problems[0].message


def test_a_sixteen_bit_set_is_scaled_by_percentiles(binary_set):
    """Nearly all of the range is empty: by the type's range the picture would be black."""
    rng = np.random.default_rng(0)
    all_pixels = []
    for path in (binary_set / "images").iterdir():
        pixels = rng.integers(100, 236, (12, 10)).astype(np.uint16)
        all_pixels.append(pixels)
        Image.fromarray(pixels).save(path)
    manifest = import_dataset([binary_set], name="cells")
    low, high = np.percentile(np.concatenate(all_pixels), [0.5, 99.5])
    assert manifest.low[0] == pytest.approx(low, abs=1)
    assert manifest.high[0] == pytest.approx(high, abs=1)
    image = open_dataset("cells").image(0)
    assert image.min() >= 0
    assert image.max() <= 1
    assert 0.3 < image.mean() < 0.7
    assert manifest.bits == 16


def test_grey_and_colour_mixed_become_rgb_and_say_so(binary_set):
    Image.new("RGB", (10, 12), (10, 20, 30)).save(binary_set / "images" / "0.png")
    manifest = import_dataset([binary_set], name="cells")
    assert manifest.channels == 3
    assert [problem.code for problem in manifest.problems] == ["mixed-channels"]
    data = open_dataset("cells")
    assert np.allclose(data.image(0)[0, 0], np.array([10, 20, 30]) / 255)
    assert np.array_equal(data.image(1)[:, :, 0], data.image(1)[:, :, 2])


def test_given_folders_are_the_split(make_set, tmp_path):
    drop = make_set({f"{number}.png": np.array([[0, 255], [0, 0]], np.uint8) for number in range(4)})
    for number, part in enumerate(["train", "train", "val", "test"]):
        for kind, folder in (("images", part), ("masks", f"{part}annot")):
            (tmp_path / "given" / folder).mkdir(parents=True, exist_ok=True)
            (drop / kind / f"{number}.png").rename(tmp_path / "given" / folder / f"{number}.png")
    manifest = import_dataset([tmp_path / "given"], name="cells")
    assert manifest.is_given_split
    assert [pair.split for pair in manifest.pairs] == ["test", "train", "train", "valid"]


def test_the_content_hash_covers_pixels_and_split(binary_set):
    first = import_dataset([binary_set], name="one").content_hash
    assert import_dataset([binary_set], name="two").content_hash == first
    assert import_dataset([binary_set], name="three", valid_fraction=0.3).content_hash != first
    Image.new("L", (10, 12)).save(binary_set / "images" / "0.png")
    assert import_dataset([binary_set], name="four").content_hash != first


def test_classes_absent_from_every_mask_are_not_invented(make_set):
    folder = make_set({f"{number}.png": np.array([[0, 2, 5]] * 3, np.uint8) for number in range(3)})
    (folder / "class_names.txt").write_text("\n".join(f"class {letter}" for letter in "abcdef"))
    manifest = import_dataset([folder], name="cells")
    assert [info.name for info in manifest.classes] == ["class a", "class c", "class f"]
    assert [info.id for info in manifest.classes] == [0, 1, 2]
    assert open_dataset("cells").mask(0)[0].tolist() == [0, 1, 2]


def test_void_becomes_ignored_pixels(make_set):
    folder = make_set({f"{number}.png": np.array([[0, 1, 2]] * 3, np.uint8) for number in range(3)})
    (folder / "codes.txt").write_text("sky\nroad\nvoid\n")
    manifest = import_dataset([folder], name="roads")
    assert open_dataset("roads").mask(0)[0].tolist() == [0, 1, IGNORE]
    assert manifest.ignored_pixels == 9
    assert manifest.reading.ignored.name == "void"


def test_memory_does_not_grow_with_the_number_of_pictures(make_set, monkeypatch):
    """At any time a handful of decoded pictures exist, whatever the number of pairs."""
    alive, most = 0, 0
    real = importing.cache.read_image

    def counting(path):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        return real(path)

    monkeypatch.setattr(importing.cache, "read_image", counting)

    def progress(phase, done, total):
        nonlocal alive
        if phase == "decoding":
            alive -= 1

    masks = {f"{number}.png": np.array([[0, 255]], np.uint8) for number in range(60)}
    import_dataset([make_set(masks)], name="cells", progress=progress)
    assert most <= 10
