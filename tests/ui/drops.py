"""Dropping files on the Data page in tests: pictures and masks, uploads, paths, and imports done at once."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from streamlit.testing.v1 import AppTest

from unetlab.config import RunConfig
from unetlab.data import import_task
from unetlab.errors import UnetlabError
from unetlab.runs import store
from unetlab.runs.status import StatusKeeper
from unetlab.runs.store import Run
from unetlab.workspace import Workspace, own_workspace


def start_here(workspace: Workspace, config: RunConfig, *, name: str = "") -> Run:
    """A finished or failed import, as its worker would have left it."""
    run = store.create_run(workspace, config, name=name, device="cpu lane")
    keeper = StatusKeeper(run.folder)
    try:
        import_task.run_import(run.workspace, config.importing, on_progress=keeper.progress, should_stop=lambda: False)
        keeper.end("finished")
    except UnetlabError as error:
        keeper.end("failed", str(error))
    return run


def png(pixels: np.ndarray) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def boxes(count: int = 6, values: tuple[int, ...] = (0, 255)) -> dict[str, tuple[bytes, bytes]]:
    """Pictures and masks by stem; each value of `values` fills a stripe of the mask."""
    rng, found = np.random.default_rng(0), {}
    for number in range(count):
        mask = np.zeros((24, 24), np.uint8)
        for place, value in enumerate(values):
            mask[4 * place : 4 * place + 4] = value
        found[f"cell{number}"] = (png(rng.integers(0, 255, (24, 24), dtype=np.uint8)), png(mask))
    return found


def zipped(named: dict[str, bytes]) -> bytes:
    """The files as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in named.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def drop(app: AppTest, box: int, named: dict[str, bytes], kind: str = "image/png") -> AppTest:
    """Puts files into the page's uploader number `box`."""
    app.file_uploader[box].set_value([(name, content, kind) for name, content in named.items()]).run()
    assert not app.exception
    return app


def drop_both(app: AppTest, pairs: dict[str, tuple[bytes, bytes]]) -> AppTest:
    """Pictures into the first box and masks into the second."""
    drop(app, 0, {f"{stem}.png": image for stem, (image, _) in pairs.items()})
    return drop(app, 1, {f"{stem}_mask.png": mask for stem, (_, mask) in pairs.items()})


def give_path(app: AppTest, path: Path, masks: str = "") -> AppTest:
    """Types a path and sends it."""
    app.text_input(key="path-images").set_value(str(path))
    app.text_input(key="path-masks").set_value(masks)
    app.button(key="FormSubmitter:path-form-Check").click().run()
    assert not app.exception
    return app


def press(app: AppTest, label: str) -> AppTest:
    """Clicks the first button of that label."""
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def staged() -> list[Path]:
    """All staging folders."""
    return sorted(own_workspace().datasets.glob(".staging-*"))


def dropped() -> list[Path]:
    """All folders of dropped files."""
    return sorted((own_workspace().root / "incoming").glob("*"))
