"""A messy upload, fixed by clicks alone, becomes a trained model; and what was uploaded does not stay in memory."""

import io
import re
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Server, write_nuclei
from tests.browser.test_journey import set_number, status_of
from unetlab.data.dataset import open_folder
from unetlab.data.samples import make_nuclei

TYPO, ORPHAN, EMPTY, STRAYS = "nuclei_04", "nuclei_07", "nuclei_09", ("nuclei_02", "nuclei_11")
PATIENCE_MS = 60_000


def png(pixels: np.ndarray) -> bytes:
    """The pixels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def messy_zip(path: Path) -> int:
    """Sixteen pairs as people have them; the bytes of the zip.

    A typo in one mask's name, a picture without a mask, an empty picture file, masks of 0 and 255 with a stray 3 in
    two of them, and a file that Windows leaves behind.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cells/Thumbs.db", b"of no use")
        for name, picture, mask in make_nuclei(count=16, size=96, seed=3):
            mask = np.where(mask > 0, 255, 0).astype(np.uint8)
            if name in STRAYS:
                mask[0, 10:20] = 3
            archive.writestr(f"cells/images/{name}.png", b"" if name == EMPTY else png(picture))
            if name != ORPHAN:
                archive.writestr(f"cells/masks/{name.replace(TYPO, 'nucle_04')}.png", png(mask))
    return path.stat().st_size


def test_drops_into_both_boxes_at_once_are_both_taken(server, new_page, tmp_path):
    pictures, masks = write_nuclei(tmp_path, count=6, size=32)
    page = new_page()
    page.goto(f"{server.url}/data")
    inputs = page.locator("input[type=file]")
    expect(inputs).to_have_count(4)
    inputs.nth(0).set_input_files(pictures)
    inputs.nth(1).set_input_files(masks)
    expect(page.get_by_role("heading", name="6 pairs, 2 classes")).to_be_visible(timeout=PATIENCE_MS)


def test_files_in_one_box_with_two_masks_a_picture_are_kept_after_one_answer(server, new_page, tmp_path):
    for name, picture, mask in make_nuclei(count=6, size=96, seed=4):
        Image.fromarray(picture).save(tmp_path / f"{name}.bmp")
        Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / f"{name}.tif")
    page = new_page()
    page.goto(f"{server.url}/data")
    page.locator("input[type=file]").first.set_input_files(sorted(tmp_path.glob("nuclei_*")))

    expect(page.get_by_role("heading", name="0 pairs, 1 error")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_role("img", name=re.compile(r"^nuclei_\d+\.(bmp|png|tif)$"))).to_have_count(4)
    page.get_by_role("button", name="'.png' is the mask").click()
    expect(page.get_by_role("heading", name="6 pairs, 2 classes")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Use this data set").click()
    expect(page.get_by_text("is kept.")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Find its learning rate")).to_be_visible()
    manifest = open_folder(server.home / "datasets" / "pictures").manifest
    assert {(pair.image[-4:], pair.mask[-4:]) for pair in manifest.pairs} == {(".bmp", ".png")}


def bytes_of_uploads(server: Server) -> int:
    """What Streamlit's upload manager holds, as the server tells it; it counts every 5 s."""
    with urllib.request.urlopen(f"{server.url}/_stcore/metrics", timeout=10) as answer:
        told = answer.read().decode()
    found = re.findall(r'^cache_memory_bytes\{[^}]*cache_type="UploadedFileManager"[^}]*\} (\d+)', told, re.MULTILINE)
    assert "cache_memory_bytes" in told
    return sum(map(int, found))


def test_a_messy_zip_is_mended_by_clicks_and_trained_to_a_score(server, new_page, tmp_path):
    size = messy_zip(tmp_path / "cells.zip")
    page = new_page()
    page.goto(f"{server.url}/data")
    page.get_by_role("tab", name="Zip").click(timeout=PATIENCE_MS)
    page.locator("input[type=file]").nth(3).set_input_files(tmp_path / "cells.zip")

    # what there is, what is wrong
    expect(page.get_by_role("heading", name="13 pairs, 2 classes")).to_be_visible(timeout=PATIENCE_MS)
    for told in (f"{EMPTY}.png is empty", "are probably a pair", f"cells/images/{ORPHAN}.png", "3 may be a class"):
        expect(page.get_by_text(told).first).to_be_visible()
    page.get_by_text("Notes (").first.click()
    expect(page.get_by_text("cells/Thumbs.db").first).to_be_visible()

    # the typo
    page.get_by_role("button", name="Pair them").first.click()
    expect(page.get_by_role("heading", name="14 pairs, 2 classes")).to_be_visible(timeout=PATIENCE_MS)

    # the stray values are background: the link leads to the panel
    page.get_by_role("link", name="All ways to read them").first.click()
    page.get_by_role("radio", name=re.compile("255 is the foreground, 0 the background; 3 .* become")).first.check(
        force=True
    )
    page.get_by_role("button", name="Use this reading").first.click()
    expect(page.get_by_text("3 may be a class")).to_have_count(0, timeout=PATIENCE_MS)

    page.get_by_role("button", name="Use this data set").click()
    expect(page.get_by_role("button", name="Find its learning rate")).to_be_visible(timeout=PATIENCE_MS)
    manifest = open_folder(server.home / "datasets" / "cells").manifest
    assert [pair.mask for pair in manifest.pairs if TYPO in pair.image] == ["cells/masks/nucle_04.png"]
    assert [(entry.name, entry.values) for entry in manifest.classes] == [("background", [0, 3]), ("foreground", [255])]
    assert manifest.unmatched_images == [f"cells/images/{ORPHAN}.png"]
    assert list((server.home / "incoming").iterdir()) == []

    # the upload is gone from the server's memory
    deadline = time.monotonic() + 20
    while (held := bytes_of_uploads(server)) > size // 100:
        assert time.monotonic() < deadline, f"{held} bytes of an upload of {size} are still held"
        page.wait_for_timeout(500)

    # a model comes out of it
    page.get_by_role("link", name="Train", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Train")).to_be_visible()
    set_number(page, "Epochs", "3")
    set_number(page, "Image size (px)", "64")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("button", name="See the results").first).to_be_visible(timeout=180_000)
    assert status_of(server)["state"] == "finished"
    page.get_by_role("button", name="See the results").first.click()
    expect(page.get_by_role("heading", name="Worst pictures first")).to_be_visible(timeout=PATIENCE_MS)
    score = page.get_by_test_id("stMetric").filter(has_text="Mean Dice").first
    expect(score).to_contain_text(re.compile(r"0\.\d+"))
