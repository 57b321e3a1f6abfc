"""`python -m unetlab data ...` with real processes: import, look, change, add, hand on."""

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from unetlab.workspace import own_workspace


@pytest.fixture
def drop(tmp_path):
    """Eight pairs of `tiny` as files."""
    return tiny.write_pairs(tmp_path / "pairs")


def stray(folder):
    """A few pixels of 3 in one mask."""
    mask = tiny.read_mask(folder / "0_mask.png")
    mask[0, :3] = 3
    Image.fromarray(mask).save(folder / "0_mask.png")


def test_an_import_takes_the_proposal_and_says_so(workspace, drop):
    stray(drop)
    answer = tiny.told("data", "import", drop, "--name", "cells")
    assert {"name", "num_pairs", "classes", "problems", "unmatched_images", "unmatched_masks", "ignored_files"} <= set(
        answer
    )
    assert answer["num_pairs"] == 8
    assert answer["reading"] == "ignore-strays"
    (told,) = (problem for problem in answer["problems"] if problem["code"] == "reading")
    assert told.keys() >= {"file", "code", "message"}
    assert "3" in told["message"]
    shown = tiny.said("data", "check", "cells").stdout
    assert "--reading binary" in shown


def test_another_reading_is_chosen_at_import_or_later(workspace, drop):
    stray(drop)
    answer = tiny.told("data", "import", drop, "--name", "cells", "--reading", "binary")
    assert [entry["name"] for entry in answer["classes"]] == ["background", "foreground"]
    readings = {row["key"] for row in tiny.told("data", "check", "cells")["readings"]}
    assert {"binary", "values", "ignore-strays"} <= readings
    answer = tiny.told("data", "change", "cells", "--reading", "values")
    assert (len(answer["classes"]), answer["version"]) == (3, 2)
    failed = tiny.said("data", "change", "cells", "--reading", "binray")
    assert failed.returncode == 2
    assert "binary" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_pairs_are_left_out_brought_back_and_split_again(workspace, drop):
    tiny.told("data", "import", drop, "--name", "cells")
    assert tiny.told("data", "change", "cells", "--exclude", "3", "--exclude", "5.png")["num_pairs"] == 6
    assert tiny.told("data", "change", "cells", "--include-all")["num_pairs"] == 8
    answer = tiny.told("data", "change", "cells", "--valid-fraction", "0.5")
    assert sum(pair["split"] == "valid" for pair in answer["pairs"]) == 4
    for option, value in (
        ("--valid-fraction", "1.5"),
        ("--grouping", "films"),
        ("--pages", "all"),
        ("--exclude", "99"),
    ):
        failed = tiny.said("data", "change", "cells", option, value)
        assert (failed.returncode, "Traceback" in failed.stderr) == (2, False), failed.stderr


def test_pictures_are_added_and_the_set_handed_on_as_one_zip(workspace, drop, tmp_path):
    tiny.told("data", "import", drop, "--name", "cells")
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8)
        (tmp_path / "more").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "more" / f"new{number}.png")
        Image.fromarray((picture > 128) * np.uint8(255)).save(tmp_path / "more" / f"new{number}_mask.png")
    added = tiny.told("data", "add", "cells", tmp_path / "more")
    assert (added["num_pairs"], added["version"]) == (10, 2)
    tiny.told("data", "export", "cells", "--to", tmp_path / "cells.zip")
    again = tiny.told("data", "import", tmp_path / "cells.zip", "--name", "again")
    assert again["pairs"] == added["pairs"]
    assert tiny.said("data", "export", "cells", "--to", tmp_path / "cells.zip").returncode == 2


def test_what_cannot_be_imported_is_refused_and_leaves_nothing(workspace, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / "drop").mkdir(exist_ok=True)
        Image.new("L", (9, 9)).save(tmp_path / "drop" / name)
    for arguments in ([tmp_path / "drop"], [tmp_path / "nowhere"], [tmp_path / "drop", "--valid-fraction", "7"]):
        failed = tiny.said("data", "import", *arguments, "--name", "cells")
        assert failed.returncode == 2, failed.stdout
        assert failed.stderr.strip()
        assert "Traceback" not in failed.stderr
    assert [path.name for path in own_workspace().datasets.iterdir() if not path.name.startswith(".l")] == []


def test_files_that_changed_behind_our_back_are_told(workspace, drop):
    tiny.told("data", "import", drop, "--name", "cells")
    assert tiny.told("data", "check", "cells")["changed_files"] == []
    (own_workspace().datasets / "cells" / "originals" / "2.png").write_bytes((drop / "1.png").read_bytes())
    assert tiny.told("data", "check", "cells")["changed_files"] == ["2.png"]
