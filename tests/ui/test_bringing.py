"""Bringing pictures on the Data page: each way in, and what is refused."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.state import SafeSessionState, SessionState

from tests import tiny
from tests.ui.drops import boxes, drop, drop_both, dropped, give_path, press, staged, start_here, zipped
from tests.ui.test_pages import open_page, words
from unetlab.data import changes, portable
from unetlab.data.dataset import list_datasets, open_dataset, open_folder
from unetlab.runs import jobs, launching, store
from unetlab.ui import bringing, dropping, incoming, state
from unetlab.workspace import own_workspace


@pytest.fixture(autouse=True)
def at_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports are done when they are started, by the code of a worker; no page starts a warm one."""
    monkeypatch.setattr(jobs, "start", start_here)
    monkeypatch.setattr(launching, "warm_up", lambda workspace: None)


# ways in


def test_pictures_and_masks_in_two_boxes_become_a_data_set(workspace):
    app, pairs = open_page("data"), boxes()
    drop(app, 0, {f"{stem}.png": image for stem, (image, _) in pairs.items()})
    assert "6 pictures are in the box *Pictures*, and no masks were found among them." in words(app)
    drop(app, 1, {f"{stem}_mask.png": mask for stem, (_, mask) in pairs.items()})
    assert "6 pairs, 2 classes" in words(app)
    given = [run.config.importing.masks for run in store.list_runs(own_workspace(), kind="import")]
    assert sorted(Path(masks).name for masks in given if masks) == ["masks"]  # what the boxes say needs no names
    (name,) = [field for field in app.text_input if field.label == "Name of the data set"]
    assert name.value == "pictures"
    name.set_value("cells").run()
    press(app, "Use this data set")
    assert len(open_dataset(own_workspace(), "cells").manifest.pairs) == 6
    assert app.session_state["dataset"] == "cells"
    assert "The data set **cells** is kept." in words(app)
    assert app.button(key="to-learning-rate").label == "Find its learning rate"
    app.button(key="to-learning-rate").click().run()
    assert app.session_state["dataset"] == "cells"
    assert "The data set **cells** is kept." not in words(app.switch_page("pages/lab/data.py").run())
    assert dropped() == []  # what was dropped is not kept twice
    assert staged() == []


def test_masks_may_be_dropped_first(workspace):
    app, pairs = open_page("data"), boxes()
    drop(app, 1, {f"{stem}.png": mask for stem, (_, mask) in pairs.items()})
    assert "6 masks are in the box *Masks*, and no pictures were found among them." in words(app)
    drop(app, 0, {f"{stem}.png": image for stem, (image, _) in pairs.items()})
    assert "6 pairs, 2 classes" in words(app)


def test_files_that_are_not_read_are_told_beside_the_pictures_that_are(workspace):
    app = open_page("data")
    drop(app, 0, {"a.docx": b"no picture", "b.mp4": b"no picture", "c.png": b"no picture"})
    said = words(app)
    assert "There is no picture that can be read." in said
    assert "are not read: export them as PNG or TIFF." in said
    assert "Drop the masks" not in said
    drop(app, 0, {f"{stem}.png": image for stem, (image, _) in boxes().items()})
    said = words(app).replace("\\", "")
    assert "6 pictures are in the box *Pictures*, and no masks were found among them." in said
    assert "are not read: export them as PNG or TIFF." in said


def test_a_name_typed_in_the_moment_of_the_click_counts(workspace):
    app = drop_both(open_page("data"), boxes())
    next(field for field in app.text_input if field.label == "Name of the data set").set_value("typed late")
    press(app, "Use this data set")
    assert "not a valid name" in words(app)  # said, nothing lost
    next(field for field in app.text_input if field.label == "Name of the data set").set_value("typed-late")
    press(app, "Use this data set")
    assert [manifest.name for manifest in list_datasets(own_workspace())] == ["typed-late"]


def test_new_pictures_are_chosen_beside_an_older_set(tiny_set):
    app = open_page("data", dataset=tiny.NAME)
    app.segmented_control(key="data-view").set_value("Upload images").run()
    drop_both(app, boxes())
    press(app, "Use this data set")
    assert app.session_state["dataset"] == "pictures"
    assert "6 pairs, 2 classes" in words(app)


def test_one_box_is_enough_when_names_tell_pictures_from_masks(workspace):
    pairs = boxes()
    both = {f"{stem}.png": image for stem, (image, _) in pairs.items()}
    both |= {f"{stem}_mask.png": mask for stem, (_, mask) in pairs.items()}
    assert "6 pairs, 2 classes" in words(drop(open_page("data"), 0, both))


def in_one_box(*suffixes: str) -> dict[str, bytes]:
    """Six pictures with their masks by name: the first suffix is the picture's, each other that of a kind of mask."""
    found = {}
    for stem, (image, mask) in boxes().items():
        found |= {f"{stem}{suffix}": mask if place else image for place, suffix in enumerate(suffixes)}
    return found


def test_files_of_one_name_in_one_box_are_told_apart_by_their_pixels(workspace):
    app = drop(open_page("data"), 0, in_one_box(".bmp", ".png"))
    said = words(app)
    assert "6 pairs, 2 classes" in said
    assert "the .png files hold 2 values each, so they are read as masks" in said
    press(app, "Swap: the .bmp files are the masks")
    assert open_folder(staged()[0]).manifest.choices.mask_kind == ".bmp"


def test_several_candidates_in_one_box_raise_one_question_that_one_click_answers(workspace):
    app = drop(open_page("data"), 0, in_one_box(".png", "_x.png", "_y.png"))
    said = words(app)
    assert "0 pairs, 1 error" in said
    assert "no masks were found" not in said
    assert [alt for image in app.get("image") for alt in (shown.alt for shown in image.proto.imgs)] == [
        *("cell0.png", "cell0_x.png"),
        *("cell0.png", "cell0_y.png"),
    ]
    press(app, "'y' is the mask")
    assert "6 pairs, 2 classes" in words(app)
    press(app, "Use this data set")
    pairs = open_dataset(own_workspace(), "pictures").manifest.pairs
    assert [pair.mask for pair in pairs] == [f"cell{number}_y.png" for number in range(6)]


def test_masks_that_are_dropped_again_into_their_own_box_move_there(workspace):
    files = in_one_box(".bmp", ".png")
    app = drop(open_page("data"), 0, files)
    drop(app, 1, {name: content for name, content in files.items() if name.endswith(".png")})
    assert "6 pairs, 2 classes" in words(app)
    (staging,) = staged()
    pairs = open_folder(staging).manifest.pairs
    assert (pairs[0].image, pairs[0].mask) == ("images/cell0.bmp", "masks/cell0.png")
    assert not [finding for finding in open_folder(staging).manifest.findings if "mask" in finding.code]


def test_what_was_decided_holds_when_more_files_come(workspace):
    files = in_one_box(".png", "_x.png", "_y.png")
    app = press(drop(open_page("data"), 0, files), "'x' is the mask")
    changes.revise(staged()[0], {"excluded": ["cell1.png"]}, reading="invert")
    late = boxes(7)["cell6"]
    drop(app, 0, {"late.png": late[0], "late_x.png": late[1], "late_y.png": late[1]})
    choices = open_folder(staged()[0]).manifest.choices
    assert (choices.mask_kind, choices.excluded, choices.reading.key) == ("x", ["cell1.png"], "invert")
    assert "6 pairs" in words(app)
    drop(app, 1, {"other.png": boxes(8)["cell7"][1]})  # now names begin with their box
    assert open_folder(staged()[0]).manifest.choices.excluded == ["images/cell1.png"]
    assert "6 pairs" in words(app)


def test_a_later_drop_is_looked_at_together_with_the_earlier_one(workspace):
    pairs = boxes(8)
    app = drop_both(open_page("data"), dict(list(pairs.items())[:5]))
    assert "5 pairs" in words(app)
    (first,) = staged()
    drop_both(app, dict(list(pairs.items())[5:]))
    assert "8 pairs" in words(app)
    assert first not in staged()
    assert len(staged()) == 1


def test_a_zip_is_unpacked_named_after_and_its_orphans_are_told(workspace):
    named = {}
    for stem, (image, mask) in boxes().items():
        named[f"set/images/{stem}.png"] = image
        if stem != "cell3":
            named[f"set/masks/{stem}.png"] = mask
    app = drop(open_page("data"), 3, {"my cells.zip": zipped(named)}, "application/zip")
    said = words(app)
    assert "5 pairs" in said
    assert "1 picture has no mask" in said
    assert next(field for field in app.text_input if field.label == "Name of the data set").value == "my-cells"


def test_an_exported_set_comes_back_with_its_name_and_decisions(tiny_set, tmp_path):
    changes.revise(open_dataset(own_workspace(), tiny.NAME).folder, {"excluded": ["3.png"]})
    portable.export_zip(open_dataset(own_workspace(), tiny.NAME), tmp_path / "out.zip")
    shutil.rmtree(own_workspace().datasets / tiny.NAME)
    app = open_page("data")
    drop(app, 3, {"out.zip": (tmp_path / "out.zip").read_bytes()}, "application/zip")
    assert "7 pairs" in words(app)
    press(app, "Use this data set")
    assert open_dataset(own_workspace(), tiny.NAME).manifest.choices.excluded == ["3.png"]


def test_a_path_on_the_server_is_taken_where_it_is_allowed(workspace, tmp_path, monkeypatch):
    tiny.write_pairs(tmp_path / "pairs")
    app = give_path(open_page("data"), tmp_path / "pairs")
    assert "8 pairs, 2 classes" in words(app)
    assert next(field for field in app.text_input if field.label == "Name of the data set").value == "pairs"
    monkeypatch.setenv("UNETLAB_ALLOW_PATHS", "0")
    with pytest.raises(KeyError):
        open_page("data").text_input(key="path-images")


def test_a_path_takes_the_place_of_what_was_dropped(workspace, tmp_path):
    tiny.write_pairs(tmp_path / "pairs")
    app = drop_both(open_page("data"), boxes())
    give_path(app, tmp_path / "pairs")
    assert "8 pairs" in words(app)
    assert dropped() == []


def test_a_path_with_subfolders_called_images_and_masks_is_one_source(workspace, tmp_path):
    tiny.write_pairs(tmp_path / "one" / "images")
    tiny.write_pairs(tmp_path / "one" / "masks", suffix="_gt")
    give_path(open_page("data"), tmp_path / "one")
    (run,) = store.list_runs(own_workspace(), kind="import")
    assert run.config.importing.sources == [str(tmp_path / "one")]
    assert run.config.importing.masks is None


def test_a_drop_into_one_box_leaves_what_is_under_way_in_the_other(workspace):
    app = open_page("data")
    before = [box.proto.id for box in app.file_uploader]
    drop(app, 0, {f"{stem}.png": image for stem, (image, _) in boxes(3).items()})
    after = [box.proto.id for box in app.file_uploader]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True, True]


def test_nothing_breaks_off_a_drop_while_it_is_taken(monkeypatch):
    def break_off():
        raise RuntimeError("broken off")

    session = SafeSessionState(SessionState(), break_off)
    monkeypatch.setattr(dropping, "get_script_run_ctx", lambda: SimpleNamespace(session_state=session))
    with dropping.one_at_a_time():
        session["taken"] = True
    with pytest.raises(RuntimeError, match="broken off"):
        session["taken"] = False


def test_the_answer_that_a_drop_waits_for_outlasts_the_start_of_a_run():
    dropping.keep_upload_answers()
    dropping.keep_upload_answers()
    queue, answer, other = ForwardMsgQueue(), ForwardMsg(), ForwardMsg()
    answer.file_urls_response.response_id = "asked"
    other.delta.new_element.text.body = "old"
    queue.enqueue(answer)
    queue.enqueue(other)
    queue.clear(retain_lifecycle_msgs=True)
    assert queue.flush() == [answer]


def test_a_page_that_another_thread_has_overtaken_is_drawn_again(workspace, monkeypatch):
    """The import begins while the page is being drawn without it."""
    app, begun = open_page("data"), []

    def begin_elsewhere() -> None:
        if not begun:
            begun.append(incoming.begin_with_path(str(tiny.write_pairs(own_workspace().root.parent / "late")), ""))

    monkeypatch.setattr(bringing, "offer", begin_elsewhere)
    assert "8 pairs" in words(app.run())


def test_uploaded_bytes_are_let_go(workspace, monkeypatch):
    freed = []
    manager = SimpleNamespace(remove_file=lambda session, file: freed.append((session, file)))
    context = SimpleNamespace(uploaded_file_mgr=manager, session_id="me")
    monkeypatch.setattr(state, "get_script_run_ctx", lambda: context)
    drop(open_page("data"), 0, {f"{stem}.png": image for stem, (image, _) in boxes(3).items()})
    assert len(freed) == len(set(freed)) == 3
    assert {session for session, _ in freed} == {"me"}


# what is refused


def test_hostile_names_stay_in_the_folder(workspace):
    app, pairs = open_page("data"), boxes()
    drop(app, 0, {f"../../../{stem}.png": image for stem, (image, _) in pairs.items()})
    outside = [
        path
        for path in workspace.parent.rglob("cell*.png")
        if not {own_workspace().root / "incoming", own_workspace().datasets} & set(path.parents)
    ]
    assert outside == []


def test_two_files_of_one_name_are_refused_and_leave_nothing_behind(workspace):
    app, image = open_page("data"), boxes(1)["cell0"][0]
    drop(app, 0, {"b.png": image})
    app.file_uploader[0].set_value([("a.png", image, "image/png"), ("a.png", image, "image/png")]).run()
    assert not app.exception
    assert any("Two files are called" in error.value for error in app.error)
    assert [path.name for path in (own_workspace().root / "incoming").rglob("*.png")] == ["b.png"]


def test_text_named_png_is_explained_and_the_rest_is_used(workspace):
    pairs = boxes(3)
    app = drop_both(open_page("data"), pairs | {"x": (b"this is text", pairs["cell0"][1])})
    said = words(app).replace("\\", "")
    assert "3 pairs" in said
    assert "x.png" in said


def test_one_pair_is_too_few_and_cannot_be_used_until_there_is_more(workspace):
    pairs = boxes(4)
    app = drop_both(open_page("data"), dict(list(pairs.items())[:1]))
    assert "at least 2 are needed" in words(app)
    assert ", 1 error" in words(app)
    assert app.button(key="use-data").disabled
    drop_both(app, dict(list(pairs.items())[1:]))
    assert not app.button(key="use-data").disabled


def test_a_path_that_is_not_there_fails_in_words_and_can_be_tried_again(workspace, tmp_path):
    app = give_path(open_page("data"), tmp_path / "cells")
    assert "cells does not exist" in words(app)
    tiny.write_pairs(tmp_path / "cells")
    press(app, "Check again")
    assert "8 pairs, 2 classes" in words(app)


def test_starting_over_forgets_everything(workspace):
    app = drop_both(open_page("data"), boxes())
    press(app, "Start over")
    assert staged() == dropped() == []
    assert "pairs" not in words(app)
