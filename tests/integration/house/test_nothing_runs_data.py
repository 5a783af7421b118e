"""No source loads a format that runs code, evaluates text, or passes text to a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted(
    path for folder in ("prodml", "components", "examples", "pipelines")
    for path in (ROOT / folder).rglob("*.py")
    if "prodml/components/" not in str(path)
)  # fmt: skip

LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
"""Modules whose formats can run code when they are read."""
FUNCTIONS = {
    "eval": "evaluates text",
    "exec": "runs text",
    "compile": "compiles text to code",
    "__import__": "imports a module named by text; use importlib",
}
METHODS = {
    "unsafe_load": "builds any Python object",
    "unsafe_load_all": "builds any Python object",
    "full_load": "builds Python objects",
    "full_load_all": "builds Python objects",
    "read_pickle": "is a pickle",
    "mktemp": "returns a name that another process may use first",
    "system": "passes text to a shell",
    "popen": "passes text to a shell",
    "enable_unsafe_deserialization": "lets Keras run code in models",
}
QUALIFIED = {
    ("yaml", "load"): "builds any Python object",
    ("yaml", "load_all"): "builds any Python object",
}
ARGUMENTS = {
    ("shell", True): "passes text to a shell",
    ("allow_pickle", True): "is a pickle",
    ("safe_mode", False): "lets Keras run code in models",
}

ALLOWED = {
    (
        "prodml/beam/portability.py",
        "pickler",
    ): "copies a function within one process, as every runner of Beam does; nothing is stored",
    (
        "prodml/beam/user_modules.py",
        "cloudpickle",
    ): "names the modules that Beam sends by value to the workers of its job; loads nothing",
}


def dangers(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Yields line, name and danger of every forbidden use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                steps = {*module.split("."), *alias.name.split(".")}
                for name in sorted(steps & {*LOADERS, "pickler"}):
                    yield node.lineno, name, "runs code when it loads"
        elif isinstance(node, ast.Call):
            yield from _dangers_of_call(node)


def _dangers_of_call(node: ast.Call) -> Iterator[tuple[int, str, str]]:
    called = node.func
    if isinstance(called, ast.Name) and called.id in {**FUNCTIONS, **METHODS}:
        yield node.lineno, called.id, {**FUNCTIONS, **METHODS}[called.id]
    if isinstance(called, ast.Attribute):
        if called.attr in METHODS:
            yield node.lineno, called.attr, METHODS[called.attr]
        owner = called.value.id if isinstance(called.value, ast.Name) else ""
        if (owner, called.attr) in QUALIFIED:
            yield node.lineno, f"{owner}.{called.attr}", QUALIFIED[owner, called.attr]
    for keyword in node.keywords:
        if isinstance(keyword.value, ast.Constant):
            danger = ARGUMENTS.get((keyword.arg or "", keyword.value.value))
            if danger:
                yield node.lineno, str(keyword.arg), danger


def test_no_source_runs_data() -> None:
    assert len(SOURCES) > 200
    found, used = [], set()
    for path in SOURCES:
        relative = str(path.relative_to(ROOT))
        for line, name, danger in dangers(ast.parse(path.read_bytes())):
            if (relative, name) in ALLOWED:
                used.add((relative, name))
            else:
                found.append(f"{relative}:{line}: {name} {danger}")
    assert found == []
    assert used == ALLOWED.keys(), "remove the exceptions that are no longer needed"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "import yaml\nyaml.load(text, yaml.Loader)",
        "from yaml import unsafe_load\nunsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "tempfile.mktemp()",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path, safe_mode=False)",
        "pandas.read_pickle(path)",
        "from apache_beam.internal import pickler",
    ],
)
def test_each_danger_is_detected(source: str) -> None:
    assert list(dangers(ast.parse(source)))


def test_safe_functions_are_allowed() -> None:
    source = (
        "import yaml, json\nyaml.safe_load(a)\nre.compile(a)\nsubprocess.run([a])\njson.load(a)"
    )
    assert not list(dangers(ast.parse(source)))
