"""Makes tiffs_first.zip: a data set of TIFFs as unetlab kept it before decision 0015, for tests to open.

Run once, with that code and not with today's:

    git worktree add --detach ../old 6eae4d5 && cd ../old
    PYTHONPATH=. python .../tests/stored/make_tiffs.py .../tests/stored/tiffs_first.zip

Five pictures of floats with NaN in one and an untagged -9999 in another, and masks of 0 and 1 marked white-is-zero.
seen.npz holds what that code gave for them: images (5,24,24,1) and masks (5,24,24).
"""

import io
import sys
import tempfile
import zipfile
from os import environ
from pathlib import Path

import numpy as np
import tifffile

from unetlab.data.dataset import open_dataset
from unetlab.data.importing import import_dataset
from unetlab.workspace import own_workspace

NAME = "heights"


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        environ["UNETLAB_HOME"] = str(home)
        write_pairs(Path(folder) / "pairs")
        import_dataset(own_workspace(), [Path(folder) / "pairs"], name=NAME)
        data = open_dataset(own_workspace(), NAME)
        seen = io.BytesIO()
        np.savez_compressed(
            seen,
            images=np.stack([data.image(index) for index in range(5)]),
            masks=np.stack([data.mask(index) for index in range(5)]),
        )
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr("seen.npz", seen.getvalue())
            for path in sorted((home / "datasets").rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(home))


def write_pairs(folder: Path) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(5):
        picture = rng.uniform(100, 364, (24, 24)).astype(np.float32)
        mask = np.zeros((24, 24), np.uint8)
        mask[4 : 12 + number, 4:14] = 1
        picture += 60 * mask
        if number == 1:
            picture[:6] = np.nan
        if number == 3:
            picture[-6:] = -9999
        tifffile.imwrite(folder / "images" / f"{number}.tif", picture, compression="zlib", software="")
        tifffile.imwrite(
            folder / "masks" / f"{number}.tif", mask, photometric="miniswhite", compression="zlib", software=""
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
