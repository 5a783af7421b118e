"""The part of a file that counts for one of its functions: never too small."""

import textwrap

import pytest

from prodml.orchestration.code.reached_definitions import Definition, definition

FILE = """
    import json
    import tensorflow as tf
    from prodml import component, pipeline
    from project import used, unused

    LIMIT = 1
    OTHER = 2
    REGISTRY = []

    def helper():
        return LIMIT

    @component
    def Step(made):
        helper()
        used()
        REGISTRY

    @pipeline(name="p")
    def build():
        Step(), OTHER, unused
    """


def is_foreign(name: str) -> bool:
    return name.partition(".")[0] in {"json", "tensorflow", "prodml", "functools", "dataclasses"}


def of(text: str, name: str = "Step") -> Definition | None:
    return definition(textwrap.dedent(text).encode(), name, is_foreign)


def digest(text: str) -> str:
    found = of(text)
    assert found is not None
    return found.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 1", "LIMIT = 10"),
        ("return LIMIT", "return -LIMIT"),
        ("from project import used", "from elsewhere import used"),
        ("OTHER = 2", "LIMIT += 1"),
        ("OTHER = 2", "if OTHER: LIMIT = 3"),
        ("OTHER = 2", "REGISTRY.append(1)"),
        ("OTHER = 2", "json.loads = None"),
        ("OTHER = 2", "OTHER = used()"),
        ("OTHER = 2", "OTHER = json.loads('1', object_hook=helper)"),
        ("OTHER = 2", "OTHER = setattr(json, 'a', 1)"),
        ("OTHER = 2", "assert True"),
        ("OTHER = 2", "with json.x: pass"),
        ("OTHER = 2", "import for_its_effect"),
        ("OTHER = 2", "@tf.register\ndef other(): pass"),
        ("OTHER = 2", "def other(x=used()): pass"),
        ("OTHER = 2", "class Other(used): pass"),
        ("OTHER = 2", "class Other:\n    x = used()"),
        ("        Step(), OTHER", "        global LIMIT; LIMIT = 2\n        Step(), OTHER"),
        ("        Step(), OTHER", "        REGISTRY.append(2)\n        Step(), OTHER"),
        ("        Step(), OTHER", "        helper.limit = 2\n        Step(), OTHER"),
    ],
)
def test_what_a_function_depends_on_counts(old: str, new: str) -> None:
    assert old in FILE
    changed = textwrap.dedent(FILE).replace(textwrap.dedent(old), new)
    assert of(changed) is None or digest(changed) != digest(FILE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("OTHER = 2", "OTHER = 3"),
        ("used, unused", "used, other as unused"),
        ("OTHER = 2", "OTHER = json.loads('2')"),
        ("OTHER = 2", "OTHER = dict(a=len('b'))"),
        ("OTHER = 2", "def other(): used()"),
        ("OTHER = 2", "'''A text.'''"),
        ("OTHER = 2", "# a comment"),
        ("OTHER = 2", "if __name__ == '__main__':\n    used()"),
        ("OTHER = 2", "try:\n    import fast\nexcept ImportError:\n    fast = None\nOTHER = fast"),
        ("Step(), OTHER", "OTHER, Step()"),
    ],
)
def test_what_it_does_not_use_does_not(old: str, new: str) -> None:
    assert old in FILE
    assert digest(textwrap.dedent(FILE).replace(old, new)) == digest(FILE)


def test_only_imports_that_are_used_are_followed() -> None:
    found = of(FILE)
    assert found is not None
    assert found.imports == ("prodml", "prodml.component", "project", "project.used")


@pytest.mark.parametrize(
    "text",
    [
        "from project import *\ndef Step(): pass",
        "def Step(): return globals()['x']",
        "import importlib\ndef Step(): importlib.import_module('x')",
        "import sys\ndef Step(): sys.modules['x']",
        "def helper(): return eval('1')\ndef Step(): helper()",
        "def Other(): pass",
        "def Step(:",
    ],
)
def test_where_names_cannot_be_followed_the_whole_file_counts(text: str) -> None:
    assert of(text) is None


def test_names_in_annotations_that_are_texts_count() -> None:
    text = "class Text: x = 1\ndef Step(made: 'Output[Text]'): pass"
    assert digest(text) != digest(text.replace("x = 1", "x = 2"))


def test_an_import_that_falls_back_on_another_module_brings_both() -> None:
    found = of("try:\n    import fast as f\nexcept ImportError:\n    import slow as f\n"
               "def Step(): f.x")  # fmt: skip
    assert found is not None
    assert found.imports == ("fast", "slow")
