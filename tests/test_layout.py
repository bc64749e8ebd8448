"""The repository keeps its own rules: who imports whom, what is pinned, what may lie in it."""

import ast
import hashlib
import re
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "dashboard", "market", "data", "tests")
MADE = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", "build"}
TEXT = {".py", ".md", ".toml", ".txt", ".sql", ".yaml", ".yml", ".json", ".css", ".csv", ".sh", ""}

# What the files of a folder may not import.
FORBIDDEN = {
    "core": {"streamlit", "market", "dashboard"},
    "market": {"streamlit", "core", "dashboard"},
}
# What pages may take from core and market themselves: these modules, types and constants. What computes
# comes by loaders.
CONTRACTS = {"core.errors", "core.labels", "core.overlay", "core.slices"}


@cache
def project_files() -> tuple[Path, ...]:
    """Files that are or would be in git; without git, all but what is made."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode == 0 and (ROOT / ".git").exists():
        names = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
    kept = (name for name in names if not MADE & set(name.parts) and (ROOT / name).is_file())
    return tuple(sorted(kept))


def python_files(*folders: str) -> list[Path]:
    return [path for path in project_files() if path.suffix == ".py" and path.parts[0] in folders]


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of all modules that a file imports, wherever in it; relative ones made absolute."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(path.parent.parts[: len(path.parent.parts) - node.level + 1]) if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def top_level(modules: Collection[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def pins(name: str) -> dict[str, str]:
    """Package -> version of a requirements file; every line must pin one exactly."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        line = line.split("#")[0].strip()
        if line and not line.startswith("-"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)(\s*;.+)?", line)
            assert match, f"{name}: {line!r} pins no exact version"
            found[match[1].lower().replace("_", "-")] = match[2]
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_fixed_folders_are_there(folder):
    assert (ROOT / folder).is_dir()


@pytest.mark.parametrize("folder", sorted(FORBIDDEN))
def test_each_package_imports_only_along_the_arrows(folder):
    against = {str(path): top_level(imports(path)) & FORBIDDEN[folder] for path in python_files(folder)}
    assert {path: sorted(names) for path, names in against.items() if names} == {}


@cache
def dashboard_graph() -> dict[str, set[str]]:
    """Which files of the dashboard each of them imports: Home, views.classify, loaders, ..."""
    names = {path: ".".join(path.with_suffix("").parts[1:]) for path in python_files("dashboard")}
    return {
        name: {other for other in names.values() if f"dashboard.{other}" in imports(path)} - {name}
        for path, name in names.items()
    }


def test_the_files_of_the_dashboard_form_no_cycle():
    TopologicalSorter(dashboard_graph()).prepare()


def test_nobody_imports_home_and_only_home_imports_a_page():
    wrong = {
        name: sorted(other for other in others if other == "Home" or other.startswith("views."))
        for name, others in dashboard_graph().items()
        if name != "Home"
    }
    assert {name: others for name, others in wrong.items() if others} == {}


def test_loaders_know_nothing_of_how_things_look():
    assert dashboard_graph()["loaders"] & {"charts", "components", "state"} == set()


def test_charts_draw_without_streamlit():
    for name in ("charts", "drawing"):
        assert "streamlit" not in top_level(imports(Path(f"dashboard/{name}.py")))
    assert dashboard_graph()["charts"] == {"drawing"}
    assert dashboard_graph()["drawing"] == set()


@pytest.mark.parametrize("path", python_files("dashboard"), ids=str)
def test_only_loaders_ask_core_and_market_to_compute(path):
    computing = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse((ROOT / path).read_bytes()))
        if isinstance(node, ast.ImportFrom) and top_level({node.module or ""}) & {"core", "market"}
        for alias in node.names
        if node.module not in CONTRACTS and not alias.name[0].isupper()
    }
    assert path.stem == "loaders" or computing == set()


def test_no_file_of_the_dashboard_hides_a_package():
    hidden = {path.stem for path in (ROOT / "dashboard").iterdir()} & {"core", "market", "data", "tests"}
    assert hidden == set()
    assert not (ROOT / "tests" / "core").exists()


@pytest.mark.parametrize("path", python_files("core", "market", "dashboard"), ids=str)
def test_no_function_is_longer_than_sixty_lines(path):
    functions = (
        node
        for node in ast.walk(ast.parse((ROOT / path).read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > 60} == {}


def test_every_file_of_code_says_its_subject_first():
    silent = [
        str(path)
        for path in python_files("core", "market", "dashboard", "tests")
        if not ast.get_docstring(ast.parse((ROOT / path).read_bytes()))
    ]
    assert silent == []


def test_no_file_is_over_twelve_megabytes():
    assert [str(path) for path in project_files() if (ROOT / path).stat().st_size > 12_000_000] == []


def test_no_text_holds_a_path_of_one_machine_or_an_unfinished_mark():
    local = re.compile(r"(?<![\w.:/*-])/(?:work|root|home/\w+|Users/\w+|opt/(?:wheels|pypi))\b")
    unfinished = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path in project_files()
        if path.suffix in TEXT and not path.name.endswith("LICENSE.txt")
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)
        if local.search(line) or unfinished.search(line)
    ]
    assert found == []


def test_the_hosted_demo_pins_what_requirements_pins():
    runtime, hosted = pins("requirements.txt"), pins("dashboard/requirements.txt")
    assert {name: version.removesuffix("+cpu") for name, version in hosted.items()} == {
        name: runtime.get(name) for name in hosted
    }


def test_development_builds_on_the_runtime_requirements():
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()
    assert set(pins("requirements-dev.txt")) & set(pins("requirements.txt")) == set()


def test_every_package_that_the_product_imports_is_pinned():
    pinned = set(pins("requirements.txt"))
    installed = packages_distributions()
    own = set(FOLDERS) | sys.stdlib_module_names
    loose = {}
    for path in python_files("core", "market", "dashboard"):
        for module in top_level(imports(path)) - own:
            names = {name.lower().replace("_", "-") for name in installed.get(module, ())}
            if not names & pinned:
                loose.setdefault(module, []).append(str(path))
    assert loose == {}


def without_training_packages(code: str) -> str:
    """What `code` prints in an interpreter where all that the hosted demo does not install is missing."""
    absent = set(pins("requirements.txt")) - set(pins("dashboard/requirements.txt"))
    modules = sorted(
        module
        for module, names in packages_distributions().items()
        if absent & {name.lower().replace("_", "-") for name in names}
    )
    assert "torch" in modules
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules.update(dict.fromkeys({modules}))\n{code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_predict_works_with_the_packages_of_the_hosted_demo():
    out = without_training_packages(
        "import runpy\n"
        "sys.argv = ['core', 'predict', 'data/samples', '--json']\n"
        "runpy.run_module('core', run_name='__main__', alter_sys=True)"
    )
    assert '"label"' in out and '"error"' not in out


def test_the_dashboard_starts_with_the_packages_of_the_hosted_demo():
    out = without_training_packages(
        "from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file('dashboard/Home.py', default_timeout=120).run()\n"
        "print([error.message for error in app.exception])"
    )
    assert out.splitlines()[-1] == "[]", out


def test_every_command_is_documented_in_the_readme():
    shown = subprocess.run(
        [sys.executable, "-m", "core", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    commands = re.search(r"\{([a-z,-]+)\}", shown.stdout)[1].split(",")
    assert {"train", "evaluate", "predict"} <= set(commands)
    readme = (ROOT / "README.md").read_text()
    assert [name for name in commands if f"python -m core {name}" not in readme] == []


def test_every_make_target_is_listed_by_help():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()) - {"runtime", "dev"}
    assert set(re.findall(r"^([a-z]+):[^#\n]*## ", makefile, re.M)) == phony


def test_no_file_of_the_shared_data_lies_in_the_project(shared):
    ours = {hashlib.sha256((ROOT / path).read_bytes()).hexdigest(): str(path) for path in project_files()}
    sizes = {(ROOT / path).stat().st_size for path in project_files()}
    copies = {
        ours[digest]: str(path)
        for folder in (shared, shared.parent / "weights")
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size in sizes
        if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) in ours
    }
    assert copies == {}
