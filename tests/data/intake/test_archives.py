"""Hostile and damaged archives: refused with a sentence, and nothing is written outside."""

import io
import random
import stat
import struct
import tarfile
import time
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from unetlab.data.intake import archives
from unetlab.data.intake.archives import look_into, safe_part, unpack
from unetlab.errors import DataError, UnreadableFile


def extract(archive, into):
    """(names written, names ignored)."""
    contents = look_into(archive)
    return list(unpack(contents, into)), contents.ignored


def png(value=0):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, members, method=zipfile.ZIP_DEFLATED):
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return path


def tarred(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


# What comes out


def test_pictures_lists_and_class_files_come_out_and_the_rest_is_named(tmp_path):
    members = dict.fromkeys(["ds/1.png", "ds/codes.txt", "ds/train.csv", "ds/a.docx", "__MACOSX/ds/._1.png"], png())
    written, ignored = extract(zipped(tmp_path / "a.zip", members), tmp_path / "into")
    assert files_below(tmp_path / "into") == sorted(written) == ["ds/1.png", "ds/codes.txt", "ds/train.csv"]
    assert sorted(ignored) == ["__MACOSX/ds/._1.png", "ds/a.docx"]
    assert (tmp_path / "into" / "ds" / "1.png").read_bytes() == png()


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.TGZ", "w:gz")])
def test_a_tar_is_unpacked_like_a_zip(name, mode, tmp_path):
    folder = tarfile.TarInfo("./ds")
    folder.type = tarfile.DIRTYPE
    archive = tarred(tmp_path / name, [(folder, b""), ("./ds/1.png", png(7)), ("./ds/x.bin", b"x")], mode)
    written, ignored = extract(archive, tmp_path / "into")
    assert (written, ignored) == (["ds/1.png"], ["ds/x.bin"])
    assert (tmp_path / "into" / "ds" / "1.png").read_bytes() == png(7)


def test_names_in_utf8_without_the_flag_are_read_as_their_maker_wrote_them(tmp_path):
    content = zipped(tmp_path / "a.zip", {"Zelle_xx.png": png()}).read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"Zelle_xx", "Zelle_ö".encode()))
    assert extract(tmp_path / "a.zip", tmp_path / "into")[0] == ["Zelle_ö.png"]


def test_names_in_cp437_stay_what_they_are(tmp_path):
    content = zipped(tmp_path / "a.zip", {"Zelle_x.png": png()}).read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"Zelle_x", "Zelle_ö".encode("cp437")))
    assert extract(tmp_path / "a.zip", tmp_path / "into")[0] == ["Zelle_ö.png"]


@pytest.mark.parametrize(
    ("part", "safe"),
    [("con.png", "con_.png"), ("LPT1", "LPT1_"), ("console.png", "console.png"), ("a:b?.png", "a_b_.png")],
)
def test_names_that_windows_keeps_for_devices_are_changed(part, safe):
    assert safe_part(part) == safe


def test_an_empty_mask_in_a_format_without_compression_is_no_bomb(tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (2048, 2048)).save(buffer, "BMP")
    archive = zipped(tmp_path / "a.zip", {"mask.bmp": buffer.getvalue()})
    assert archive.stat().st_size * 3 * archives.MAX_RATIO < len(buffer.getvalue())
    assert extract(archive, tmp_path / "into")[0] == ["mask.bmp"]


# What is refused


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png"])
def test_a_path_that_leaves_the_folder_is_refused(name, tmp_path):
    for archive in (
        zipped(tmp_path / "bad.zip", {"good.png": png(), name: png()}),
        tarred(tmp_path / "bad.tar", [("good.png", png()), (name, png())], "w"),
    ):
        with pytest.raises(UnreadableFile, match="leads out of the folder"):
            extract(archive, tmp_path / "into")
        assert not (tmp_path / "into").exists()


def zip_link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def tar_entry(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_links_and_devices_are_refused(tmp_path):
    zipped(tmp_path / "bad.zip", [(zip_link("a.png"), "/etc/passwd")])
    with pytest.raises(UnreadableFile, match="is a link"):
        extract(tmp_path / "bad.zip", tmp_path / "into")
    for kind, reason in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "link"), (tarfile.FIFOTYPE, "no ordinary file")):
        tarred(tmp_path / "bad.tar", [(tar_entry("a.png", kind, "/etc/passwd"), b"")], "w")
        with pytest.raises(UnreadableFile, match=reason):
            extract(tmp_path / "bad.tar", tmp_path / "into")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_refused(method, tmp_path):
    archive = zipped(tmp_path / "bad.zip", {"a.png": b"\0" * 3_000_000}, method)
    with pytest.raises(UnreadableFile, match="from next to nothing"):
        extract(archive, tmp_path / "into")
    with pytest.raises(UnreadableFile, match="from next to nothing"):
        extract(tarred(tmp_path / "bad.tgz", [("a.png", b"\0" * 3_000_000)]), tmp_path / "into")


def test_a_bomb_of_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "TOTAL_RATIO_FROM", 2**20)
    members = {f"{number}.bmp": b"\0" * 1_000_000 for number in range(3)}
    with pytest.raises(UnreadableFile, match="and more from next to nothing"):
        extract(zipped(tmp_path / "bad.zip", members), tmp_path / "into")
    with pytest.raises(UnreadableFile, match="and more from next to nothing"):
        extract(tarred(tmp_path / "bad.tgz", members.items()), tmp_path / "into")


def test_too_many_members_and_too_many_bytes_are_refused(tmp_path, monkeypatch):
    members = {f"{number}.png": png() for number in range(5)}
    archive, tar = zipped(tmp_path / "bad.zip", members), tarred(tmp_path / "bad.tar", members.items(), "w")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 4)
    with pytest.raises(UnreadableFile, match="holds 5 files"):
        extract(archive, tmp_path / "into")
    with pytest.raises(UnreadableFile, match="holds more than 4 files"):
        extract(tar, tmp_path / "into")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    monkeypatch.setattr(archives, "MAX_BYTES", 100)
    for bad in (archive, tar):
        with pytest.raises(UnreadableFile, match="unpacks to"):
            extract(bad, tmp_path / "into")


def test_a_password_and_a_rare_method_are_refused(tmp_path):
    for offset, value, reason in ((8, 1, "password"), (10, 9, "rare method")):
        content = bytearray(zipped(tmp_path / "bad.zip", {"a.png": png()}).read_bytes())
        entry = content.index(b"PK\1\2")
        content[entry + offset] |= value
        (tmp_path / "bad.zip").write_bytes(bytes(content))
        with pytest.raises(UnreadableFile, match=reason):
            extract(tmp_path / "bad.zip", tmp_path / "into")


def test_a_path_that_is_too_deep_or_too_long_is_refused(tmp_path):
    for name in ("a/" * 40 + "1.png", "a" * 1100 + ".png"):
        with pytest.raises(UnreadableFile, match="too long or too deep"):
            extract(zipped(tmp_path / "bad.zip", {name: png()}), tmp_path / "into")


def test_two_members_of_one_name_are_refused_before_anything_is_written(tmp_path):
    archive = zipped(tmp_path / "bad.zip", [("b.png", png()), ("a.png", png()), ("./a.png", png(1))])
    with pytest.raises(DataError, match=r"bad\.zip: a\.png is there twice"):
        extract(archive, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_name_that_is_both_file_and_folder_is_refused(tmp_path):
    archive = zipped(tmp_path / "bad.zip", {"a.png": png(), "a.png/b/c.png": png()})
    with pytest.raises(UnreadableFile, match="both a file and a folder"):
        extract(archive, tmp_path / "into")


def test_entries_that_overlap_are_refused(tmp_path):
    content = bytearray(zipped(tmp_path / "bad.zip", {"a.png": png(), "b.png": png(1)}).read_bytes())
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 4)
    content[second + 42 : second + 46] = struct.pack("<I", 5)  # where its data begin
    (tmp_path / "bad.zip").write_bytes(bytes(content))
    with pytest.raises(UnreadableFile, match="overlaps"):
        extract(tmp_path / "bad.zip", tmp_path / "into")


@pytest.mark.parametrize("announced", [10, 100_000])
def test_a_lying_size_never_writes_more_than_it_announces(announced, tmp_path):
    content = bytearray(zipped(tmp_path / "bad.zip", {"a.png": bytes(range(256)) * 200}).read_bytes())
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<I", announced)
    (tmp_path / "bad.zip").write_bytes(bytes(content))
    with pytest.raises(UnreadableFile):
        extract(tmp_path / "bad.zip", tmp_path / "into")
    assert (tmp_path / "into" / "a.png").stat().st_size <= announced


def test_a_member_that_ends_too_early_is_refused_even_where_its_checksum_fits(tmp_path):
    content = bytearray(zipped(tmp_path / "bad.zip", {"a.png": b"abc" * 100}).read_bytes())
    place = content.index(b"PK\1\2") + 24
    content[place : place + 4] = struct.pack("<I", 400)
    (tmp_path / "bad.zip").write_bytes(bytes(content))
    with pytest.raises(UnreadableFile, match="does not hold the 400 bytes it announces"):
        extract(tmp_path / "bad.zip", tmp_path / "into")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"text"])
@pytest.mark.parametrize("name", ["bad.zip", "bad.tar", "bad.tgz"])
def test_what_is_no_archive_is_refused(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFile, match=rf"{name} cannot be unpacked"):
        extract(tmp_path / name, tmp_path / "into")


def test_a_damaged_member_is_refused(tmp_path):
    archive = zipped(tmp_path / "bad.zip", {"a.png": bytes(range(256)) * 40})
    content = bytearray(archive.read_bytes())
    content[60:80] = b"\xff" * 20
    archive.write_bytes(bytes(content))
    with pytest.raises(UnreadableFile):
        extract(archive, tmp_path / "into")


def test_a_tar_with_a_damaged_header_is_refused_rather_than_cut(tmp_path):
    archive = tarred(tmp_path / "bad.tar", [("1.png", png()), ("2.png", png())], "w")
    content = bytearray(archive.read_bytes())
    content[content.index(b"2.png")] = 0xFF
    archive.write_bytes(bytes(content))
    with pytest.raises(UnreadableFile, match="is damaged"):
        extract(archive, tmp_path / "into")


def test_a_tar_header_of_megabytes_is_refused_before_it_is_read(tmp_path):
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type = tarfile.GNUTYPE_LONGNAME
    archive = tarred(tmp_path / "bad.tgz", [(long_name, b"a" * (2 * 2**20)), ("1.png", png())])
    with pytest.raises(UnreadableFile, match="headers is too long"):
        look_into(archive)


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(path, mode="r", **options):
        if "x" in mode:
            raise OSError(28, "No space left on device", str(path))
        return open(path, mode, **options)

    archive = zipped(tmp_path / "a.zip", {"a.png": png()})
    monkeypatch.setattr(archives, "open", full, raising=False)
    with pytest.raises(DataError, match="is full"):
        extract(archive, tmp_path / "into")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One to four random changes: bits, runs of bytes, lengths, cuts, insertions, swapped blocks."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed))
        kind = rng.choice(["flip", "run", "number", "cut", "insert", "repeat"])
        if kind == "flip":
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == "run":
            changed[place : place + 8] = rng.randbytes(8)
        elif kind == "number":
            changed[place : place + 4] = struct.pack("<I", rng.choice([0, 1, 2**16, 2**31 - 1, 2**32 - 1]))
        elif kind == "cut":
            del changed[place : place + rng.randint(1, 60)]
        elif kind == "insert":
            changed[place:place] = rng.randbytes(rng.randint(1, 20))
        else:
            changed[place:place] = changed[: rng.randint(1, 80)]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


@pytest.mark.parametrize(("name", "count"), [("a.zip", 200), ("a.tar", 60), ("a.tgz", 60)])
def test_mutated_archives_are_read_or_refused(name, count, tmp_path):
    members = {"images/1.png": png(), "images/2.png": png(1), "masks/1.png": png(2), "codes.txt": b"a\nb\n"}
    original = tmp_path / name
    whole = (
        zipped(original, members)
        if name == "a.zip"
        else tarred(original, members.items(), f"w:{'gz' * (name == 'a.tgz')}")
    ).read_bytes()
    outcomes = set()
    for seed in range(count):
        box = tmp_path / "box" / str(seed)
        box.mkdir(parents=True)
        (box / name).write_bytes(mutated(whole, random.Random(seed)))
        began = time.process_time()
        try:
            written, _ = extract(box / name, box / "into")
            outcomes.add("read")
        except DataError:
            outcomes.add("refused")
        else:
            assert files_below(box) == sorted([name, *(f"into/{each}" for each in written)])
        assert time.process_time() - began < 5
        assert {path.name for path in box.iterdir()} <= {name, "into"}
    assert outcomes == {"read", "refused"}
