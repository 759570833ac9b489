"""How the folders depend on each other, and that all of it is installed."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.parent.name for path in (ROOT / "dashboard" / "screens").glob("*/view.py"))
# The screens' libraries: the science must load and run without them.
OF_SCREENS = {"dashboard", "streamlit", "plotly"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for folder in ("gridlstm", "dashboard")
    for path in (ROOT / folder).rglob("*.py")
}


def names_imported(tree: ast.AST) -> set[str]:
    """All that a module imports, wherever in it: `a.b` and, of `from a import b`, both."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports here are absolute"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


IMPORTS = {name: names_imported(ast.parse(path.read_text())) for name, path in MODULES.items()}


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] == "gridlstm"])
def test_the_science_knows_no_screens(name):
    assert not {imported.split(".")[0] for imported in IMPORTS[name]} & OF_SCREENS


def test_commands_are_the_outermost():
    """The library is there for them, not they for the library."""
    for name, imported in IMPORTS.items():
        if name != "gridlstm.__main__" and not name.startswith("gridlstm.commands"):
            assert not any(other.startswith("gridlstm.commands") for other in imported), name


def test_pages_do_not_import_each_other():
    pages = {name.rsplit(".", 1)[0] for name in MODULES if name.endswith(".view")}
    assert len(pages) == len(PAGES)
    for name, imported in IMPORTS.items():
        for page in pages:
            if name != page and not name.startswith(f"{page}."):
                assert not any(other.startswith(f"{page}.") for other in imported), name


def test_a_view_is_imported_by_nothing():
    views = {name for name in MODULES if name.endswith(".view")}
    for name, imported in IMPORTS.items():
        assert not imported & views, name


# From what imports nothing of the dashboard to what nothing of it imports: a module belongs to the
# last of these that it begins with.
LAYERS = [
    "dashboard.words",
    "dashboard.session",
    "dashboard.address",
    "dashboard.serving",
    "dashboard.charts",
    "dashboard.coloured_text",
    "dashboard.screens",
    *(f"dashboard.screens.{page}" for page in PAGES),
    "dashboard.app",
]


def layer_of(name: str) -> int:
    return max(
        number
        for number, layer in enumerate(LAYERS)
        if name == layer or name.startswith(f"{layer}.")
    )


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("dashboard.")])
def test_no_screen_imports_from_further_up(name):
    for imported in IMPORTS[name] & MODULES.keys():
        if imported.startswith("dashboard."):
            assert layer_of(imported) <= layer_of(name), imported


def test_only_a_view_itself_ends_its_page():
    """What it calls returns a result, or a sentence that says why there is none."""

    def stops(tree: ast.AST) -> list[str]:
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        return [ast.unparse(name) for name in called if ast.unparse(name) in ("st.stop", "exit")]

    for name, path in MODULES.items():
        if name.startswith("dashboard."):
            tree = ast.parse(path.read_text())
            functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
            assert not any(stops(function) for function in functions), name
            assert name.endswith(".view") or not stops(tree), name


def test_there_is_no_circle_of_imports():
    graph = {name: (imported & MODULES.keys()) - {name} for name, imported in IMPORTS.items()}
    # A package's own module gathers what its modules offer: these are what is imported.
    for name in graph:
        graph[name] = {other for other in graph[name] if not name.startswith(f"{other}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_what_is_installed_is_what_is_here(tmp_path):
    """`pip install .` brings every module, page, sample and style, and the shipped models."""
    installed, about = tmp_path / "installed", tmp_path / "about"
    about.mkdir()
    steps = ["egg_info", "--egg-base", about, "build_py", "--build-lib", installed]
    subprocess.run(
        [sys.executable, "setup.py", "-q", *steps], cwd=ROOT, check=True, capture_output=True
    )
    tracked = subprocess.run(
        ["git", "ls-files", "gridlstm", "dashboard", "checkpoints"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    expected = {name.replace("checkpoints/", "gridlstm/shipped/") for name in tracked}
    found = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert expected and expected - found == set()
    scripts = (about / "gridlstm.egg-info" / "entry_points.txt").read_text()
    assert "gridlstm = gridlstm.__main__:main" in scripts
