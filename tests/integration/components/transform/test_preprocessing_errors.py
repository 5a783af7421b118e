"""Errors of a user's preprocessing_fn in every phase of Transform."""

from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from support.flights_with_gaps import flights, write_flights
from support.running import execute
from support.statistics_on_disk import write_schema

from prodml.artifacts import Examples, Schema
from prodml.components.transform.component import Transform
from prodml.data.examples_layout import PayloadFormat
from prodml.dsl.channel import Channel
from prodml.errors import InputDataError, ProdmlError, UserCodeError

HEAD = """import tensorflow as tf
import tensorflow_transform as tft

"""


def failure(tmp_path: Path, body: str, custom_config: dict[str, int] | None = None) -> ProdmlError:
    """The error of Transform for a module, whose body starts on line 4."""
    rows = flights(0, 60)
    module = tmp_path / "features.py"
    module.write_text(HEAD + body)
    schema = tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(rows.to_pandas(), n_jobs=1))
    component = Transform(
        examples=Channel(type=Examples),
        schema=Channel(type=Schema),
        module_file=str(module),
        custom_config=custom_config,
        disable_statistics=True,
    )
    inputs = {
        "examples": write_flights(tmp_path / "raw", PayloadFormat.PARQUET, {"train": rows}),
        "schema": write_schema(tmp_path / "schema", schema),
    }
    with pytest.raises(ProdmlError) as caught:
        execute(component, inputs, tmp_path)
    return caught.value


def test_an_import_error_is_reported_with_its_line(tmp_path: Path) -> None:
    error = failure(tmp_path, "import no_such_library\n")
    assert isinstance(error, UserCodeError)
    assert "features.py:4" in str(error)


def test_a_module_without_the_function_lists_its_functions(tmp_path: Path) -> None:
    error = failure(tmp_path, "def preprocess_fn(inputs):\n    return inputs\n")
    assert isinstance(error, UserCodeError)
    assert "no function 'preprocessing_fn'; did you mean 'preprocess_fn'" in str(error)


def test_an_error_is_reported_with_its_line_and_function(tmp_path: Path) -> None:
    error = failure(
        tmp_path,
        """def pick(inputs):
    return inputs["no_such_feature"]

def preprocessing_fn(inputs):
    return {"x": pick(inputs)}
""",
    )
    assert isinstance(error, UserCodeError)
    assert (
        "features.py:5, in pick: KeyError: 'no_such_feature'; its inputs are the features of the "
        "schema; known: air_time, carrier," in str(error)
    )
    assert isinstance(error.__cause__, KeyError)


def test_a_shape_error_is_reported_with_its_line(tmp_path: Path) -> None:
    error = failure(
        tmp_path,
        """def preprocessing_fn(inputs):
    distance = tf.cast(inputs["distance"], tf.float32)
    return {"x": tf.matmul(distance, tf.zeros([3, 3]))}
""",
    )
    assert isinstance(error, UserCodeError)
    assert "features.py:6, in preprocessing_fn: ValueError: Dimensions must be equal" in str(error)


def test_an_error_inside_a_tf_function_is_reported_with_its_line(tmp_path: Path) -> None:
    error = failure(
        tmp_path,
        """@tf.function
def loop(x):
    if tf.reduce_sum(x) > 0:
        x = x + "s"
    return x

def preprocessing_fn(inputs):
    return {"x": loop(inputs["distance"])}
""",
    )
    assert isinstance(error, UserCodeError)
    assert "features.py:7, in loop: TypeError: Input 'y' of 'AddV2' Op has type" in str(error)


def test_an_error_that_occurs_only_while_beam_runs_is_reported_with_its_line(
    tmp_path: Path,
) -> None:
    error = failure(
        tmp_path,
        """calls = []

def preprocessing_fn(inputs):
    calls.append(1)
    if len(calls) > 2:
        raise ValueError("not once more")
    return {"x": tft.scale_to_z_score(tf.cast(inputs["distance"], tf.float32))}
""",
    )
    assert isinstance(error, UserCodeError)
    assert str(error).endswith("features.py:9, in preprocessing_fn: ValueError: not once more")


def test_a_graph_that_fails_on_the_data_reports_the_operation(tmp_path: Path) -> None:
    error = failure(
        tmp_path,
        """def preprocessing_fn(inputs):
    distance = inputs["distance"]
    near = tf.debugging.assert_less(distance, tf.constant(100, tf.int64), "too far")
    with tf.control_dependencies([near]):
        return {"x": tft.scale_to_z_score(tf.cast(distance, tf.float32))}
""",
    )
    assert isinstance(error, InputDataError)
    assert "failed on the data: assertion failed: [too far]" in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("{}", "got an empty dict"),
        ("None", "got NoneType"),
        ("{'x': inputs['distance'], 'y': 5}", "'y' is a int"),
    ],
)
def test_a_function_that_returns_no_tensors_is_reported(
    tmp_path: Path, returned: str, message: str
) -> None:
    error = failure(tmp_path, f"def preprocessing_fn(inputs):\n    return {returned}\n")
    assert isinstance(error, UserCodeError)
    assert "features.py must return" in str(error) and message in str(error)


def test_a_custom_config_that_the_function_does_not_accept_is_rejected(tmp_path: Path) -> None:
    error = failure(
        tmp_path, "def preprocessing_fn(inputs):\n    return inputs\n", custom_config={"buckets": 2}
    )
    assert isinstance(error, UserCodeError)
    assert "does not accept the custom_config" in str(error)
