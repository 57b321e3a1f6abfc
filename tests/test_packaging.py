"""`pip install .` brings all that `unetlab` and its page need, and they work from any folder."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.conftest import start_server
from tests.tiny import ROOT
from unetlab import workspace as workspaces

SOURCES = ("unetlab", "pages", ".streamlit", "app.py", "pyproject.toml", "requirements.txt", "README.md")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix into which pip installed unetlab from a wheel, without what it depends on."""
    folder = tmp_path_factory.mktemp("packaging")
    checkout, target = folder / "checkout", folder / "installed"
    checkout.mkdir()  # a copy: setuptools builds within the folder
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    ran([sys.executable, "-c", BUILD, str(folder)], cwd=checkout)
    (wheel,) = folder.glob("unetlab-*.whl")
    alone = ("--no-deps", "--no-index", "--ignore-installed")
    ran([sys.executable, "-m", "pip", "install", "--quiet", *alone, "--prefix", target, wheel])
    return target


def packages_of(installed: Path) -> Path:
    """site-packages of the prefix."""
    return next(installed.glob("lib/python*/site-packages"))


def ran(command: list, cwd: Path | None = None, **environment: str) -> str:
    """What a command prints. It must end well."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_of_the_package_and_the_page_is_installed(installed: Path):
    def files(root: Path) -> set[str]:
        paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        return {str(path) for path in paths if "__pycache__" not in path.parts}

    assert files(packages_of(installed) / "unetlab") == files(ROOT / "unetlab")
    page = {"app.py", ".streamlit/config.toml"} | {f"pages/{name}" for name in files(ROOT / "pages")}
    assert files(installed / "share" / "unetlab") == page


def test_the_command_works_from_any_folder_and_keeps_runs_in_the_persons_home(installed: Path, tmp_path: Path):
    place = {"PYTHONPATH": str(packages_of(installed)), "HOME": str(tmp_path), "UNETLAB_HOME": ""}
    assert ran([installed / "bin" / "unetlab", "data", "list"], cwd=tmp_path, **place) == "\n"
    assert (tmp_path / "unetlab" / "runs").is_dir()
    assert not (packages_of(installed) / "workspace").exists()


def test_from_a_checkout_runs_are_kept_beside_app_py():
    assert workspaces.default_root() == ROOT / "workspace"


def test_the_page_starts_from_any_folder_with_its_own_settings_and_streamlits_flags(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(packages_of(installed)))
    server = start_server(tmp_path / "home", command=[str(installed / "bin" / "unetlab"), "app"], cwd=tmp_path)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(15) == 0
    # both are settings of .streamlit/config.toml; without it streamlit names this machine's address in the network
    assert f"URL: {server.url}" in server.log.read_text()
    code = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file(sys.argv[1], default_timeout=60).run()\n"
        "assert not app.exception\n"
        "import unetlab; print(unetlab.__file__, app.title[0].value)"
    )
    drawn = ran([sys.executable, "-c", code, installed / "share" / "unetlab" / "app.py"], cwd=tmp_path)
    assert drawn.startswith(str(installed))
    assert "Teach a U-Net" in drawn
