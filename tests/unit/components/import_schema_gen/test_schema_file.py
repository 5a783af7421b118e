"""An invalid schema file is an error with its line."""

from pathlib import Path

import pytest

from prodml.components.import_schema_gen.schema_file import read_schema_file
from prodml.errors import InputDataError

GOOD = """# The carrier's two-letter code.
feature {
  name: "carrier"
  type: BYTES
  domain: "carrier"
}
feature { name: "distance" type: INT }
string_domain { name: "carrier" value: "AA" }
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "schema.pbtxt"
    path.write_text(text)
    return str(path)


def test_a_valid_file_is_copied_unchanged(tmp_path: Path) -> None:
    assert read_schema_file(written(tmp_path, GOOD)) == GOOD


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (GOOD.replace("  type: BYTES", "  typ: BYTES"), r"schema\.pbtxt:4:3: .*typ"),
        (GOOD.replace("type: INT", "type: NUMBER"), r"schema\.pbtxt:7:\d+: .*NUMBER"),
        (
            GOOD + "feature { struct_domain { " * 1000,
            r"schema\.pbtxt:9:\d+: .*nests deeper than 100 levels",
        ),
        (
            GOOD.replace('"distance"', '"carrier"'),
            r"schema\.pbtxt:7: feature 'carrier' is declared twice",
        ),
        (
            GOOD.replace('domain: "carrier"', 'domain: "carriers"'),
            r"schema\.pbtxt:5: .*domain 'carriers', which the file does not define",
        ),
        (GOOD.replace('name: "distance"', ""), r"feature number 2 has no name"),
        ("", r"declares no feature"),
        ('{"feature": []}', r"schema\.pbtxt:1:1: not a text tensorflow_metadata Schema"),
    ],
)
def test_an_invalid_file_is_an_error_with_its_line(
    tmp_path: Path, wrong: str, message: str
) -> None:
    with pytest.raises(InputDataError, match=message):
        read_schema_file(written(tmp_path, wrong))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"nowhere\.pbtxt does not exist"):
        read_schema_file(str(tmp_path / "nowhere.pbtxt"))


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputDataError, match="not UTF-8 text"):
        read_schema_file(str(path))
