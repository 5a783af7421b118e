"""ImportSchemaGen against TFDV."""

from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from support.running import execute

from prodml.artifacts import Schema
from prodml.components.import_schema_gen.component import ImportSchemaGen
from prodml.errors import InputDataError

TEXT = 'feature { name: "distance" type: INT presence { min_fraction: 1.0 } }\n'


def test_tfdv_reads_the_imported_schema(tmp_path: Path) -> None:
    file = tmp_path / "curated.pbtxt"
    file.write_text(TEXT)
    context = execute(ImportSchemaGen(schema_file=str(file)), {}, tmp_path)
    schema = tfdv.load_schema_text(context.output("schema", Schema).schema_path)
    assert tfdv.get_feature(schema, "distance").presence.min_fraction == 1


def test_a_malformed_schema_publishes_nothing_and_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "curated.pbtxt"
    file.write_text("feature {\n  name: 5\n}\n")
    with pytest.raises(InputDataError, match=r"curated\.pbtxt:2:"):
        execute(ImportSchemaGen(schema_file=str(file)), {}, tmp_path)
