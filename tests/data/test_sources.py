"""Hostile archives and upload names: refused with a sentence, and nothing is written outside."""

import io
import stat
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from unetlab.data import sources
from unetlab.data.importing import import_dataset
from unetlab.data.sources import extract, safe_name, save_upload, stage
from unetlab.errors import DataError, UnreadableFile


def png(value=0):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_a_folder_is_imported(binary_set, tmp_path):
    archive = tmp_path / "cells.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in binary_set.rglob("*.png"):
            opened.write(path, f"cells/{path.relative_to(binary_set).as_posix()}")
        opened.writestr("cells/readme.txt", "hello")
        opened.writestr("__MACOSX/cells/._1.png", "junk")
    manifest = import_dataset([archive], name="cells")
    assert len(manifest.pairs) == 10
    assert sorted(manifest.ignored_files) == ["__MACOSX/cells/._1.png", "cells/readme.txt"]


def test_a_zip_lying_in_a_folder_is_unpacked_where_it_lies(tmp_path):
    (tmp_path / "drop" / "images").mkdir(parents=True)
    zipped(tmp_path / "drop" / "images" / "all.zip", {"1.png": png()})
    staged = stage([tmp_path / "drop"], into=tmp_path / "staged")
    assert staged.images == ["images/1.png"]


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png"])
def test_a_path_that_leaves_the_folder_is_refused(name, tmp_path):
    archive = zipped(tmp_path / "bad.zip", {"good.png": png(), name: png()})
    with pytest.raises(UnreadableFile, match="leads out of the folder"):
        extract(archive, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_link_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(link("a.png"), "/etc/passwd")
    with pytest.raises(UnreadableFile, match="is a link"):
        extract(tmp_path / "bad.zip", tmp_path / "into")


def test_a_bomb_is_refused(tmp_path):
    archive = zipped(tmp_path / "bad.zip", {"a.png": b"\0" * 3_000_000})
    with pytest.raises(UnreadableFile, match="from next to nothing"):
        extract(archive, tmp_path / "into")


def test_too_many_members_and_too_many_bytes_are_refused(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "bad.zip", {f"{number}.png": png() for number in range(5)})
    monkeypatch.setattr(sources, "MAX_MEMBERS", 4)
    with pytest.raises(UnreadableFile, match="holds 5 files"):
        extract(archive, tmp_path / "into")
    monkeypatch.setattr(sources, "MAX_MEMBERS", 5)
    monkeypatch.setattr(sources, "MAX_BYTES", 100)
    with pytest.raises(UnreadableFile, match="unpacks to"):
        extract(archive, tmp_path / "into")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"text"])
def test_what_is_no_zip_is_refused(content, tmp_path):
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"bad\.zip cannot be unpacked"):
        extract(tmp_path / "bad.zip", tmp_path / "into")


def test_a_damaged_member_is_refused(tmp_path):
    archive = zipped(tmp_path / "bad.zip", {"a.png": bytes(range(256)) * 40})
    content = bytearray(archive.read_bytes())
    content[60:80] = b"\xff" * 20
    archive.write_bytes(bytes(content))
    with pytest.raises(UnreadableFile):
        extract(archive, tmp_path / "into")


@given(noise=st.binary(max_size=40), place=st.integers(0, 150))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_zips_are_read_or_refused(noise, place, tmp_path):
    content = bytearray(zipped(tmp_path / "a.zip", {"1.png": png(), "2.png": png(1)}).read_bytes())
    content[place : place + len(noise)] = noise
    (tmp_path / "bad.zip").write_bytes(bytes(content))
    into = tmp_path / "into" / noise.hex()[:20] / str(place)
    try:
        written, _ = extract(tmp_path / "bad.zip", into)
    except DataError:
        return
    assert all((into / name).resolve().is_relative_to(into) for name in written)


def test_uploads_keep_their_folders_and_boxes(tmp_path):
    assert save_upload([("ds/masks/0.png", b"x")], into=tmp_path, box="all") == ["ds/masks/0.png"]
    assert save_upload([("0.png", io.BytesIO(b"y"))], into=tmp_path, box="images") == ["images/0.png"]
    assert save_upload([("0.png", b"z")], into=tmp_path, box="masks") == ["masks/0.png"]
    assert (tmp_path / "images" / "0.png").read_bytes() == b"y"


def test_two_uploads_of_one_name_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"Two files are called a\.png"):
        save_upload([("a.png", b"1"), ("a.png", b"2")], into=tmp_path, box="all")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\Users\\me\\1.png", "Users/me/1.png"),
        ("a\0b.png", "a_b.png"),
        ("", "file"),
        ("..", "file"),
        ("a/./b//c.png", "a/b/c.png"),
        ("x" * 300 + ".png", "x" * 160 + ".png"),
    ],
)
def test_hostile_upload_names_are_tamed(name, safe):
    assert safe_name(name) == safe


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_name_leaves_the_folder(name):
    safe = safe_name(name)
    assert safe
    assert not safe.startswith("/")
    assert ".." not in safe.split("/")
    assert "\0" not in safe
