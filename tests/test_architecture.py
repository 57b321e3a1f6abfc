"""The house: who may import whom, what stays unloaded, how long a file may be. docs/architecture.md says why."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unetlab import errors

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"diagnosis", "data", "models", "inference", "training", "runs", "ui"}
DATA_PACKAGES = {"intake", "names", "readers", "labels", "checks"}
PURE = {"errors", "files", "schedules", "lr_curve", "diagnosis"}
OPTIONS = {"option_field", "options", "train_options"}
TORCH_FREE = PURE | OPTIONS | {"config", "events", "workspace", "data", "runs"}
BOTH_SIDES = TORCH_FREE | {"models", "inference", "training"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "schedules": {"errors", "files"},
    "lr_curve": {"errors", "files"},
    "diagnosis": {"schedules", "diagnosis"},
    "option_field": set(),
    "options": {"option_field"},
    "train_options": {"option_field"},
    "config": {"errors", "files"} | OPTIONS,
    "option_reference": {"config"} | OPTIONS,
    "events": {"errors", "files"},
    "workspace": {"errors"},
    "data": {"errors", "files", "options", "config", "events", "workspace", "data"},
    "runs": {"errors", "files", "options", "config", "events", "workspace", "runs"},
    "models": {"errors", "files", "options", "config", "models"},
    "inference": {"errors", "files", "options", "config", "events", "workspace", "data", "models", "inference"},
    "training": BOTH_SIDES,
    "ui": TORCH_FREE | {"ui"},
    "console": TORCH_FREE,
    "cli_data": TORCH_FREE | {"console"},
    "cli_app": {"errors", "workspace"},
    "cli_runs": TORCH_FREE | {"console", "cli_data"},
    "cli": TORCH_FREE | {"console", "cli_app", "cli_data", "cli_runs", "option_reference"},
    "__main__": {"cli", "console", "errors"},
    "app": TORCH_FREE | {"ui"},
    "pages": TORCH_FREE | {"ui"},
    "worker": BOTH_SIDES,
}
MAY_LOAD = {
    "torch": {"models", "inference", "training"},
    "torchvision": {"models", "training"},
    "safetensors": {"models", "training"},
    "streamlit": {"ui", "pages", "app"},
    "altair": {"ui"},
    "typer": {"cli", "cli_app", "cli_data", "cli_runs", "console"},
    "rich": {"console"},
    "pynvml": {"runs"},
}


def sources(root: Path = ROOT) -> list[Path]:
    return sorted([*(root / "unetlab").rglob("*.py"), *(root / "pages").rglob("*.py"), *root.glob("app.py")])


def part_of(path: Path, root: Path = ROOT) -> str:
    """The room a file belongs to: a package or module of unetlab, `pages` or `app`."""
    parts = path.relative_to(root).with_suffix("").parts
    return parts[1] if parts[0] == "unetlab" else parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a tree imports, each `from a import b` as a.b, at any depth of nesting."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def violations(root: Path = ROOT) -> list[str]:
    """Every import that the house does not allow, as "file imports name"."""
    found = []
    for path in sources(root):
        part = part_of(path, root)
        for name in imports(ast.parse(path.read_text())):
            first, _, rest = name.partition(".")
            if first == "unetlab":
                is_allowed = rest.partition(".")[0] in MAY_IMPORT.get(part, set())
            else:
                is_allowed = first != "" and part in MAY_LOAD.get(first, {part})
            if not is_allowed:
                found.append(f"{path.relative_to(root)} imports {name}")
    return found


def test_every_import_is_one_that_the_house_allows():
    assert violations() == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("unetlab/errors.py", "from unetlab import files"),
        ("unetlab/schedules.py", "import unetlab.config"),
        ("unetlab/data/cache.py", "from unetlab.runs import store"),
        ("unetlab/runs/store.py", "from unetlab.data.dataset import open_dataset"),
        ("unetlab/models/unet.py", "from unetlab.training import losses"),
        ("unetlab/models/unet.py", "from unetlab.inference import metrics"),
        ("unetlab/inference/evaluation.py", "from unetlab.training import losses"),
        ("unetlab/ui/charts.py", "def draw():\n    import torch"),
        ("unetlab/ui/charts.py", "from unetlab import worker"),
        ("unetlab/cli.py", "from unetlab.ui import charts"),
        ("unetlab/config.py", "import torch.nn.functional as F"),
        ("unetlab/data/cache.py", "import streamlit as st"),
        ("unetlab/data/cache.py", "from . import masks"),
        ("unetlab/core.py", "from unetlab import errors"),
        ("pages/lab/home.py", "from unetlab.training.learner import Learner"),
        ("app.py", "from torchvision import models"),
    ],
)
def test_an_import_that_the_house_does_not_allow_is_found(tmp_path: Path, file: str, line: str):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
    assert len(violations(tmp_path)) == 1


def test_only_entry_points_ask_the_environment_for_the_workspace():
    """Below them it is passed along: one process may serve several workspaces."""
    asking = {str(path.relative_to(ROOT)) for path in sources() if "own_workspace" in path.read_text()}
    assert asking == {"unetlab/workspace.py", "unetlab/cli.py", "unetlab/cli_data.py", "unetlab/cli_runs.py", "app.py"}
    naming = {
        str(path.relative_to(ROOT)) for path in sources() if re.search(r"environ.*(VARIABLE|_HOME)", path.read_text())
    }
    assert naming == {"unetlab/workspace.py"}


def test_every_module_has_its_place_in_the_house():
    parts = {part_of(path) for path in sources() if path != ROOT / "unetlab" / "__init__.py"}
    assert parts <= MAY_IMPORT.keys()
    assert parts >= PACKAGES


def test_the_worker_takes_in_the_torch_side_only_inside_a_function():
    tree = ast.parse((ROOT / "unetlab" / "worker.py").read_text())
    inside = {name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for name in imports(node)}
    torch_side = {
        name
        for name in imports(tree)
        if name.startswith(("unetlab.training", "unetlab.inference", "unetlab.models", "torch"))
    }
    assert torch_side == {"unetlab.training.jobs"}
    at_the_top = {name for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for name in imports(node)}
    assert torch_side <= inside
    assert not torch_side & at_the_top


def modules_loaded_by(*names: str) -> set[str]:
    """Top-level packages in sys.modules of a fresh interpreter that imported `names`."""
    code = f"import sys, {', '.join(names)}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_modules_of_the_app_leave_torch_unloaded():
    ui = [f"unetlab.ui.{path.stem}" for path in (ROOT / "unetlab" / "ui").glob("*.py") if path.stem != "__init__"]
    assert len(ui) > 5
    loaded = modules_loaded_by(*sorted(ui))
    assert "streamlit" in loaded
    assert not loaded & {"torch", "torchvision", "safetensors"}


def test_the_command_line_and_a_waiting_worker_leave_torch_and_streamlit_unloaded():
    loaded = modules_loaded_by("unetlab.cli", "unetlab.worker")
    assert "typer" in loaded
    assert not loaded & {"torch", "torchvision", "safetensors", "streamlit", "altair"}


def test_the_check_for_torch_can_fail():
    assert "torch" in modules_loaded_by("unetlab.training.learner")


def test_no_file_passes_three_hundred_lines():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {path: count for path, count in lines.items() if count > 300} == {}


def test_a_package_is_two_files_or_more_behind_a_docstring():
    inits = sorted((ROOT / "unetlab").rglob("__init__.py"))
    assert {path.parent.name for path in inits} == {"unetlab", *PACKAGES, *DATA_PACKAGES}
    for path in inits:
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert ast.get_docstring(ast.parse(path.read_text())), path
        assert len(list(path.parent.glob("*.py"))) > 2, path


def test_no_module_is_a_drawer_for_odds_and_ends():
    names = {name for path in sources() for name in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "util", "helpers", "common", "core", "misc", "manager"}


def test_the_tree_drawn_at_the_top_of_errors_names_every_error_under_its_parent():
    parents, drawn = [], {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z]\w+)(?:  |$)", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn[match[2]] = parents[depth - 1] if depth else "Exception"
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert drawn == {error.__name__: error.__base__.__name__ for error in classes}
