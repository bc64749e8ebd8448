"""What the repository must not hold: pickle, outside text as HTML, loose packages, rights that are not needed."""

import ast
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.measured import card_body
from tests.test_layout import ROOT, pins, project_files, python_files

CODE = ("core", "market", "dashboard", "deploy")
PICKLES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
"""Modules that run code of what they read."""
STATIC_HTML = {"STATIC / 'app.css'", "CSS", "_strip(reading, view)"}
"""All that is given to st.html: files of the project, and numbers in a fixed frame."""


def calls(*folders: str) -> Iterator[tuple[str, ast.Call, str]]:
    """(place, call, what is called) of every call in the folders' files."""
    for path in python_files(*folders):
        for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
            if isinstance(node, ast.Call):
                yield f"{path}:{node.lineno}", node, ast.unparse(node.func)


def keyword(call: ast.Call, name: str) -> object:
    """The constant given by this keyword; None where it is not given."""
    found = [item.value for item in call.keywords if item.arg == name]
    return getattr(found[0], "value", found[0]) if found else None


def unsafe(place: str, call: ast.Call, called: str) -> bool:
    """Whether a call could run what it reads."""
    module, _, name = called.rpartition(".")
    if module.split(".")[0] in PICKLES or name in ("read_pickle", "to_pickle"):
        return True
    if called == "torch.load":
        return keyword(call, "weights_only") is not True
    if called == "np.load":
        return keyword(call, "allow_pickle") is not False
    if called in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        loader = keyword(call, "Loader") or (call.args[1] if len(call.args) > 1 else None)
        return not (isinstance(loader, ast.AST) and "safe" in ast.unparse(loader).lower())
    return called in ("eval", "exec", "os.system") or keyword(call, "shell") is True


def test_nothing_that_is_read_can_run():
    assert [f"{place}: {called}" for place, call, called in calls(*CODE) if unsafe(place, call, called)] == []


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(x)",
        "joblib.load(p)",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p)",
        "yaml.load(t, yaml.Loader)",
        "pd.read_pickle(p)",
        "eval(t)",
        "subprocess.run(t, shell=True)",
    ],
)
def test_the_search_finds_each_of_them(line):
    call = ast.parse(line).body[0].value
    assert unsafe("here", call, ast.unparse(call.func))


def test_pickle_is_named_only_to_catch_the_error_of_torchs_restricted_reader():
    used = {}
    for path in python_files(*CODE):
        tree = ast.parse((ROOT / path).read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                if PICKLES & {name.split(".")[0] for name in names}:
                    text = (ROOT / path).read_text()
                    used[str(path)] = set(re.findall(r"\bpickle\.(\w+)", text))
    assert used == {"core/weights.py": {"UnpicklingError"}}


def holds_pickle(content: bytes) -> bool:
    """Whether bytes are a pickle (protocol 2 to 5), or an archive or array with one inside."""
    if re.match(rb"\x80[\x02-\x05][\x00-\xff]", content) and content.rstrip().endswith(b"."):
        return True
    if content.startswith(b"PK\x03\x04"):
        return b".pkl" in content
    return content.startswith(b"\x93NUMPY") and b"|O'" in content[:200]


def test_no_file_of_the_project_holds_a_pickle(tmp_path):
    import pickle

    import numpy as np

    assert holds_pickle(pickle.dumps({"a": 1}))
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", "")
    assert holds_pickle((tmp_path / "w.pth").read_bytes())
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    assert holds_pickle((tmp_path / "o.npy").read_bytes())
    assert [str(path) for path in project_files() if holds_pickle((ROOT / path).read_bytes())] == []


def test_html_is_never_made_of_outside_text():
    given = {}
    for place, call, called in calls("dashboard"):
        assert keyword(call, "unsafe_allow_html") is None, place
        assert keyword(call, "unsafe_allow_javascript") is None, place
        assert ".components.v1" not in called and not called.endswith(".iframe"), place
        if called.endswith(".html") and called != "card.html" and call.args:
            given.setdefault(ast.unparse(call.args[0]), []).append(place)
    made = {text: places for text, places in given.items() if text not in STATIC_HTML}
    assert {text for text in made if not text.startswith("dossier(")} == set(), made


def test_no_link_or_picture_of_a_model_card_acts_on_the_page():
    shown = card_body("# Run\n\nSee ![x](http://example.org/x.png) and [y](javascript:z).\n\n## Next\n")
    assert shown == "\nSee !\\[x]\\(http://example.org/x.png) and [y]\\(javascript:z).\n\n### Next\n"


# --- What the container installs and how it starts ------------------------------------------------------------


def locked() -> dict[str, tuple[str, int]]:
    """Package -> (version, number of hashes) of the lock file."""
    text = (ROOT / "deploy" / "requirements.lock").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]
    found = {}
    for block in blocks:
        name, version = re.match(r"([a-z0-9.-]+)==(\S+)", block).groups()
        found[name] = (version, len(re.findall(r"--hash=sha256:[0-9a-f]{64}(?![0-9a-f])", block)))
    return found


def test_the_lock_holds_the_versions_of_the_hosted_demo_each_with_its_hashes():
    asked, found = pins("dashboard/requirements.txt"), locked()
    assert {name: found.get(name, ("missing",))[0] for name in asked} == asked
    assert [name for name, (_, hashes) in found.items() if not hashes] == []
    assert {"torch", "torchvision", "onnx", "onnxscript"} & set(found) == set()


def test_the_lock_names_every_package_that_those_need_and_no_host():
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    found, environment = locked(), {"extra": ""}
    needed = {
        requirement.name.lower().replace("_", "-")
        for name in found
        for requirement in map(Requirement, requires(name) or ())
        if not requirement.marker or requirement.marker.evaluate(environment)
    }
    assert needed - set(found) == set()
    text = (ROOT / "deploy" / "requirements.lock").read_text()
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_the_image_installs_by_hash_and_runs_as_nobody_in_particular():
    text = (ROOT / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert "--require-hashes" in text and "--no-deps" in text
    assert re.search(r"^USER 1000:1000$", last, re.M)
    assert re.search(r"^HEALTHCHECK .*--healthy", last, re.M)
    assert re.search(r"PORT=7860", last) and re.findall(r"^VOLUME (\S+)$", last, re.M) == ["/data"]
    assert "LUNGLENS_DEMO=1" in last
    assert not re.search(r"--chown|chmod|sudo|ADD |curl|wget", text)


def test_only_what_the_image_needs_goes_into_it():
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!") and rule.endswith("/")} == {
        f"!{folder}/" for folder in ("core", "dashboard", "market", "data", "deploy", ".streamlit")
    }


def test_streamlit_is_set_up_for_the_public():
    import tomllib

    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["enableXsrfProtection"] and settings["server"]["enableCORS"]
    assert settings["client"]["showErrorDetails"] == "none" and not settings["browser"]["gatherUsageStats"]


def test_one_place_knows_what_a_public_server_is():
    readers = [
        str(path)
        for path in python_files("core", "market", "dashboard")
        if _reads_switch((ROOT / path).read_text())
    ]
    assert readers == [str(Path("core", "roots.py"))]


def _reads_switch(text: str) -> bool:
    return bool(re.search(r"environ[^\n]*LUNGLENS_DEMO", text))
