"""The house keeps its shape: rooms, import rule, file sizes, and no `platform/__init__.py`."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "platform" / "heliograph"
SOURCES = [*PACKAGE.rglob("*.py"), *(ROOT / "jobs").glob("*.py"), *(ROOT / "serve").glob("*.py")]
HOMES = {
    "ray": {"cluster"},
    "optuna": {"cluster"},
    "deepspeed": {"cluster"},
    "ccxt": {"sources"},
    "web3": {"sources"},
    "boto3": {"lake"},
    "torch": {"model", "train"},
}
GUESTS = {
    "cluster/sharded.py",  # names torch's Tensor to say what DeepSpeed is given
    "testing/seaweed.py",  # makes a bucket for the tests
}


def test_platform_folder_does_not_hide_the_standard_library():
    """With an `__init__.py` there, every process started at the root loses Python's own `platform` module."""
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.system()


def test_a_process_started_at_the_root_still_has_the_standard_platform_module():
    subprocess.run([sys.executable, "-c", "import platform; platform.machine()"], cwd=ROOT, check=True, timeout=20)


def test_top_level_folders_are_those_of_the_design():
    assert {p.name for p in ROOT.iterdir()} >= {
        "platform",
        "jobs",
        "serve",
        "cluster.yaml",
        "configs",
        "tests",
        "docs",
        "pyproject.toml",
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short(path: Path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_package_init_holds_a_docstring_and_nothing_else(path: Path):
    body = ast.parse(path.read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def _imports(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("library", HOMES)
def test_library_is_imported_in_its_home_only(library: str):
    strays = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if library in _imports(path) and path.relative_to(PACKAGE).parts[0] not in HOMES[library]
    } - GUESTS
    assert strays == set()


def test_packages_import_only_from_lines_below_their_own():
    told = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stdout
