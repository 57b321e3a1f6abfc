"""How things are written and named: checked ids, atomic writes.

`data` and `runs` both need these and may not import each other, hence a module of their own.
"""

import contextlib
import json
import os
import re
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from unetlab.errors import UnetlabError

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"
SETTLED_S = 2.0  # a younger file may change again within one tick of the disk's clock


def child_folder(parent: Path, name: str, error: type[UnetlabError]) -> Path:
    """`parent/name` for an id from a URL, a widget or a flag; the folder need not exist.

    Raises `error` when the id could name anything but a direct child: `..` must not delete a workspace.
    """
    path = (parent / name).resolve() if re.fullmatch(ID_PATTERN, name) else None
    if path is None or path.parent != parent.resolve():
        raise error(
            f"{name!r} is not a valid name. Use letters, digits, '_', '-' and '.', "
            "starting with a letter or digit, at most 80 characters."
        )
    return path


def write_atomic(path: Path, content: bytes | str, *, is_durable: bool = True) -> None:
    """Replaces `path` in one step: a reader sees the old or the new content, never half of it.

    `is_durable` waits for the disk (fsync); leave it out only for what is rewritten every second.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any, *, is_durable: bool = True, is_compact: bool = False) -> None:
    """`value` as readable JSON, written atomically. NaN and infinity are refused: they are not JSON.

    is_compact: for large tables that people do not read; without line breaks Python encodes ten times as fast.
    """
    indent = None if is_compact else 1
    write_atomic(path, json.dumps(value, indent=indent, allow_nan=False) + "\n", is_durable=is_durable)


def size_text(num_bytes: float) -> str:
    """ "3.1 GB", "340 MB": decimal units, as memory and disks are sold."""
    if num_bytes >= 0.95e9:
        return f"{num_bytes / 1e9:.1f} GB"
    return f"{num_bytes / 1e6:.0f} MB" if num_bytes >= 0.95e7 else f"{num_bytes / 1e6:.1f} MB"


def read_json(path: Path) -> Any:
    """The JSON in `path`. Raises FileNotFoundError or ValueError."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_settled(path: str | Path) -> Any:
    """`read_json`, but a file that has not changed since it was read is not read again. Do not change the answer.

    For lists of a thousand runs, whose files hardly ever change.
    """
    found = os.stat(path)
    if time.time() - found.st_mtime < SETTLED_S:
        return read_json(Path(path))
    return _parsed(str(path), found.st_mtime_ns, found.st_ino, found.st_size)


@lru_cache(16_384)
def _parsed(path: str, *version: int) -> Any:
    return read_json(Path(path))


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total
