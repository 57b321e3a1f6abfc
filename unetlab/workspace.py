"""The workspace: one folder with all that people make here. Opened once by each entry point, then passed along.

| in it         | what it holds                                                    |
|---------------|------------------------------------------------------------------|
| datasets/     | data sets, and imports in progress (data/dataset.py)             |
| runs/         | run folders (runs/store.py)                                      |
| queue.json    | whose turn it is (runs/queue.py)                                 |
| workers/      | workers that wait with torch loaded (runs/warm.py)               |
| incoming/     | files that were dropped on the page, until their import ends     |
| exports/      | data sets written as one zip that is too large for a browser     |
| locks/        | who works on which data set                                      |
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unetlab.errors import WorkspaceError

VARIABLE = "UNETLAB_HOME"
FOLDERS = ("datasets", "runs", "workers", "incoming", "exports", "locks")
CANNOT_WRITE = {
    errno.ENOSPC: "its disk is full",
    errno.EDQUOT: "its disk quota is used up",
    errno.EROFS: "its disk can only be read",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.EEXIST: "it is a file, or there is a file where one of its folders should be",
    errno.ENOTDIR: "it lies below a file",
}


@dataclass(frozen=True)
class Workspace:
    """A workspace by its folder, an absolute path. Knows where things are; reads and writes nothing itself."""

    root: Path

    @property
    def datasets(self) -> Path:
        """The folder of the data sets."""
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        """The folder of the run folders."""
        return self.root / "runs"

    @property
    def workers(self) -> Path:
        """The folder in which waiting workers register."""
        return self.root / "workers"

    @property
    def incoming(self) -> Path:
        """The folder of dropped files that are being imported."""
        return self.root / "incoming"

    @property
    def exports(self) -> Path:
        """The folder of data sets written as a zip."""
        return self.root / "exports"

    @property
    def locks(self) -> Path:
        """The folder of the locks of data sets that are being changed."""
        return self.root / "locks"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turns what an unwritable or full disk raises inside into a WorkspaceError that names the folder."""
        try:
            yield
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise WorkspaceError(
                f"The workspace {self.root} cannot be used: {CANNOT_WRITE[error.errno]}. "
                f"Make room there, or set {VARIABLE} to a folder that can be written."
            ) from error


def open_workspace(root: Path) -> Workspace:
    """The workspace in `root`, whose missing folders are created. `~` and relative paths are resolved here.

    Raises WorkspaceError for a folder that is a file, lies below one, or cannot be written.
    """
    workspace = Workspace(Path(os.path.expanduser(root)).resolve())
    with workspace.writing():
        for folder in ("", *FOLDERS):
            (workspace.root / folder).mkdir(parents=True, exist_ok=True)
    return workspace


def own_workspace() -> Workspace:
    """The workspace that `$UNETLAB_HOME` names, else `default_root`: for entry points only.

    Raises WorkspaceError as `open_workspace` does.
    """
    return open_workspace(Path(os.environ.get(VARIABLE) or default_root()))


def default_root() -> Path:
    """`workspace/` beside app.py in a checkout, else `~/unetlab`: data inside an installed package would go with it."""
    folder = checkout()
    return folder / "workspace" if folder else Path("~/unetlab")


def checkout() -> Path | None:
    """The folder of the checkout that this code runs from; None where it was installed."""
    folder = Path(__file__).resolve().parent.parent
    return folder if (folder / "pyproject.toml").exists() and (folder / "app.py").exists() else None
