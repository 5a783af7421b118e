"""`prodml scan` on models that TensorFlow has saved."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from prodml.errors import NotFoundError
from prodml.scan import risky_operations
from prodml.scan.saved_model_scan import Finding, scan

FLOATS = tf.TensorSpec([None], tf.float32)
TEXTS = tf.TensorSpec([None], tf.string)


class Model(tf.Module):  # type: ignore[misc]
    """A model with one signature, one variable, and a function that no signature runs."""

    def __init__(
        self,
        signature: Callable[[Any], Any] = lambda x: x,
        unreached: Callable[[Any], Any] = lambda x: x,
    ) -> None:
        super().__init__()
        self.weight = tf.Variable(2.0)
        self.serve = tf.function(
            lambda x: {"y": signature(x) * self.weight}, input_signature=[FLOATS]
        )
        self.unreached = tf.function(unreached, input_signature=[FLOATS])

    def save(self, directory: Path) -> str:
        self.unreached.get_concrete_function()
        tf.saved_model.save(self, str(directory), signatures={"serving_default": self.serve})
        return str(directory)


def edit_model(directory: str, edit: Callable[[Any], None]) -> None:
    """Changes the message of a saved model."""
    path = Path(directory) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    edit(model.meta_graphs[0])
    path.write_bytes(model.SerializeToString())


def brief(found: list[Finding]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.danger, each.operation, each.reached_from) for each in found]


SIGNATURE = ("signature serving_default",)


def test_a_model_with_variables_and_no_dangerous_operation_is_clean(tmp_path: Path) -> None:
    assert scan(Model().save(tmp_path / "model")) == []


def model_with_table(tmp_path: Path) -> str:
    (tmp_path / "words").write_text("a\nb\n")
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "words"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        1,
    )  # fmt: skip
    model = Model(lambda x: tf.cast(table.lookup(tf.as_string(x)), tf.float32))
    model.table = table
    return model.save(tmp_path / "model")


def test_a_table_filled_from_an_asset_is_no_danger(tmp_path: Path) -> None:
    directory = model_with_table(tmp_path)
    assert scan(directory) == []
    # Loaded and saved again, as a model with a transform graph is: one function calls another.
    again = tf.saved_model.load(directory)
    tf.saved_model.save(again, str(tmp_path / "again"), signatures=again.signatures)
    assert scan(str(tmp_path / "again")) == []

    def lead_out(meta_graph: Any) -> None:
        meta_graph.asset_file_def[0].filename = "../../../etc/passwd"

    edit_model(directory, lead_out)
    (finding,) = scan(directory)
    assert (finding.operation, finding.node) == ("asset", "../../../etc/passwd")


def test_a_keras_model_is_clean(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Normalization()(inputs)))
    model.export(str(tmp_path / "model"))
    assert scan(str(tmp_path / "model")) == []


def test_only_the_models_own_checkpoint_is_clean_in_a_model_of_tensorflow_1(tmp_path: Path) -> None:
    def save(directory: Path, reads: bool) -> str:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, [None], "x")
            weight = tf.compat.v1.get_variable("weight", initializer=2.0)
            y = x * weight
            if reads:
                y += tf.raw_ops.RestoreV2(
                    prefix="/other/checkpoint", tensor_names=["w"], shape_and_slices=[""],
                    dtypes=[tf.float32],
                )[0]  # fmt: skip
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.saved_model.simple_save(session, str(directory), {"x": x}, {"y": y})
        return str(directory)

    assert scan(save(tmp_path / "clean", reads=False)) == []
    found = scan(save(tmp_path / "reads", reads=True))
    assert brief(found) == [("reads files", "RestoreV2", SIGNATURE)]


def read_file(x: Any) -> Any:
    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)


def write_file(x: Any) -> Any:
    tf.io.write_file("/tmp/out", tf.as_string(x[0]))
    return x


def in_python(x: Any) -> Any:
    return tf.py_function(lambda y: y, [x], tf.float32)


def numpy_function(x: Any) -> Any:
    return tf.numpy_function(lambda y: y, [x], tf.float32)


def records(x: Any) -> Any:
    found = tf.data.TFRecordDataset(["/data/others"])
    return x + tf.cast(found.reduce(tf.constant(0, tf.int64), lambda n, _: n + 1), tf.float32)


def lines(x: Any) -> Any:
    found = tf.data.TextLineDataset(tf.data.Dataset.list_files("/etc/*", shuffle=False))
    return x + tf.cast(found.reduce(tf.constant(0, tf.int64), lambda n, _: n + 1), tf.float32)


def cached(x: Any) -> Any:
    found = tf.data.Dataset.range(3).cache("/tmp/cache")
    return x + tf.cast(found.reduce(tf.constant(0, tf.int64), lambda n, _: n + 1), tf.float32)


def cached_in_memory(x: Any) -> Any:
    found = tf.data.Dataset.range(3).cache()
    return x + tf.cast(found.reduce(tf.constant(0, tf.int64), lambda n, _: n + 1), tf.float32)


def prints(x: Any) -> Any:
    tf.print(x, output_stream="file:///tmp/printed")
    return x


def prints_to_stderr(x: Any) -> Any:
    tf.print(x)
    return x


def debugs(x: Any) -> Any:
    return tf.raw_ops.DebugIdentity(input=x, debug_urls=["grpc://host:1"])


def initializes(x: Any) -> Any:
    table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
    tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=table, filename="/etc/passwd", key_index=-2, value_index=-1
    )
    found = tf.raw_ops.LookupTableFindV2(
        table_handle=table, keys=tf.as_string(x), default_value=tf.constant(0, tf.int64)
    )
    return tf.cast(found, tf.float32)


def decodes(x: Any) -> Any:
    sizes, _ = tf.io.decode_proto(
        tf.as_string(x), "a.B", ["c"], [tf.int32], descriptor_source="/etc/descriptors"
    )
    return tf.cast(sizes[:, 0], tf.float32)


def in_a_branch_of_a_loop(x: Any) -> Any:
    return tf.while_loop(
        lambda n, y: n < 3, lambda n, y: (n + 1, tf.cond(n > 1, lambda: read_file(y), lambda: y)),
        [0, x],
    )[1]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (read_file, [("reads files", "ReadFile")]),
        (write_file, [("writes files", "WriteFile")]),
        (in_python, [("runs Python", "EagerPyFunc")]),
        (numpy_function, [("runs Python", "PyFunc")]),
        (records, [("reads files", "TFRecordDataset")]),
        (lines, [("reads files", "MatchingFiles"), ("reads files", "TextLineDataset")]),
        (cached, [("writes files", "CacheDatasetV2")]),
        (cached_in_memory, []),
        (prints, [("writes files", "PrintV2")]),
        (prints_to_stderr, []),
        (debugs, [("sends values to files or the network", "DebugIdentity")]),
        (initializes, [("reads files", "InitializeTableFromTextFileV2")]),
        (decodes, [("reads files", "DecodeProtoV2")]),
        (in_a_branch_of_a_loop, [("reads files", "ReadFile")]),
    ],
)
def test_a_finding_names_the_signature_that_runs_it(
    tmp_path: Path, function: Callable[[Any], Any], expected: list[tuple[str, str]]
) -> None:
    found = brief(scan(Model(function).save(tmp_path / "model")))
    assert sorted(set(found)) == [(*each, SIGNATURE) for each in expected]


def test_an_operation_that_no_signature_runs_is_found(tmp_path: Path) -> None:
    (finding,) = scan(Model(unreached=read_file).save(tmp_path / "model"))
    assert (finding.operation, finding.reached_from) == ("ReadFile", ())
    assert finding.function.startswith("__inference_")
    assert finding.node == "ReadFile"
    assert finding.meta_graph == ("serve",)


def test_a_file_named_by_a_request_is_a_danger(tmp_path: Path) -> None:
    class Reader(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])  # type: ignore[untyped-decorator]
        def serve(self, path: Any) -> Any:
            return {"y": initializes_from(path)}

    def initializes_from(path: Any) -> Any:
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename=path, key_index=-2, value_index=-1
        )
        return tf.raw_ops.LookupTableSizeV2(table_handle=table)

    model = Reader()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=model.serve)
    assert brief(scan(str(tmp_path / "model"))) == [
        ("reads files", "InitializeTableFromTextFileV2", SIGNATURE)
    ]


def test_an_operation_that_runs_when_the_model_is_loaded_is_found(tmp_path: Path) -> None:
    directory = Model().save(tmp_path / "model")

    def write_when_loaded(meta_graph: Any) -> None:
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        for name, value in (("path", b"/tmp/x"), ("text", b"x")):
            added = meta_graph.graph_def.node.add(name=name, op="Const")
            added.attr["dtype"].type = 7
            added.attr["value"].tensor.string_val.append(value)
        meta_graph.graph_def.node.add(name="write", op="WriteFile", input=["path", "text"])
        nodes["NoOp"].input.append("^write")

    edit_model(directory, write_when_loaded)
    assert brief(scan(directory)) == [("writes files", "WriteFile", ("loading",))]


def test_a_restore_of_another_checkpoint_is_a_danger(tmp_path: Path) -> None:
    directory = Model().save(tmp_path / "model")

    def restore_another(meta_graph: Any) -> None:
        added = meta_graph.graph_def.node.add(name="other", op="Const")
        added.attr["value"].tensor.string_val.append(b"/other/checkpoint")
        for node in meta_graph.graph_def.node:
            if node.name == meta_graph.saver_def.restore_op_name:
                node.input[0] = "other"

    edit_model(directory, restore_another)
    assert brief(scan(directory)) == [("reads files", "RestoreV2", ("saver",))]


def test_an_operation_that_tensorflow_does_not_know_is_found(tmp_path: Path) -> None:
    directory = Model().save(tmp_path / "model")

    def rename(meta_graph: Any) -> None:
        for function in meta_graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "Mul":
                    node.op = "CustomMul"

    edit_model(directory, rename)
    assert brief(scan(directory)) == [("is unknown to TensorFlow", "CustomMul", SIGNATURE)]


def test_a_function_cannot_hide_an_operation_by_its_name(tmp_path: Path) -> None:
    directory = Model(read_file).save(tmp_path / "model")

    def add_namesake(meta_graph: Any) -> None:
        meta_graph.graph_def.library.function.add().signature.name = "ReadFile"

    edit_model(directory, add_namesake)
    assert [operation for _, operation, _ in brief(scan(directory))] == ["ReadFile"]


def test_a_table_that_the_object_graph_fills_from_another_source_is_a_danger(
    tmp_path: Path,
) -> None:
    directory = model_with_table(tmp_path)

    def bind_another(meta_graph: Any) -> None:
        graph = meta_graph.object_graph_def
        constant = len(graph.nodes)
        graph.nodes.add().constant.operation = "Const"
        for function in graph.concrete_functions.values():
            kinds = [graph.nodes[number].WhichOneof("kind") for number in function.bound_inputs]
            if "asset" in kinds:
                function.bound_inputs[kinds.index("asset")] = constant

    edit_model(directory, bind_another)
    found = brief(scan(directory))
    assert found and {operation for _, operation, _ in found} == {"InitializeTableFromTextFileV2"}


def test_every_meta_graph_is_scanned(tmp_path: Path) -> None:
    directory, other = Model().save(tmp_path / "a"), Model(read_file).save(tmp_path / "b")
    model = saved_model_pb2.SavedModel.FromString((Path(directory) / "saved_model.pb").read_bytes())
    second = saved_model_pb2.SavedModel.FromString((Path(other) / "saved_model.pb").read_bytes())
    second.meta_graphs[0].meta_info_def.tags[:] = ["serve", "gpu"]
    model.meta_graphs.extend(second.meta_graphs)
    (Path(directory) / "saved_model.pb").write_bytes(model.SerializeToString())
    (finding,) = scan(directory)
    assert (finding.operation, finding.meta_graph) == ("ReadFile", ("serve", "gpu"))


def test_a_model_in_text_format_is_read(tmp_path: Path) -> None:
    directory = Path(Model(read_file).save(tmp_path / "model"))
    binary = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
    (directory / "saved_model.pbtxt").write_text(text_format.MessageToString(model))
    expected = scan(str(directory))
    binary.unlink()
    assert scan(str(directory)) == expected != []


def test_a_link_that_leads_out_of_the_model_is_a_danger(tmp_path: Path) -> None:
    directory = Path(Model().save(tmp_path / "model"))
    (directory / "assets" / "words").symlink_to("/etc/passwd")
    assert brief(scan(str(directory))) == [("reads files", "link", ())]


def test_a_lambda_layer_is_a_danger(tmp_path: Path) -> None:
    import keras

    directory = Path(Model().save(tmp_path / "model"))
    layer = keras.layers.Lambda(lambda x: x * 2)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.save(directory / "assets" / "whole.keras")
    with zipfile.ZipFile(directory / "assets" / "whole.keras") as archive:
        assert b"Lambda" in archive.read("config.json")
    (directory / "keras_metadata.pb").write_bytes(b'\x0a"{"class_name": "Lambda", "config": {}}')
    found = scan(str(directory))
    assert [(f.danger, f.operation, f.node) for f in found] == [
        ("runs Python", "Lambda", "assets/whole.keras"),
        ("runs Python", "Lambda", "keras_metadata.pb"),
    ]


def test_a_directory_without_a_readable_saved_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="the directory does not exist"):
        scan(str(tmp_path / "nowhere"))
    version = Path(Model().save(tmp_path / "models" / "17"))
    with pytest.raises(
        NotFoundError, match=f"saved_model.pb is missing; the newest version is {version}"
    ):
        scan(str(tmp_path / "models"))
    (version / "saved_model.pb").write_bytes(b"no message at all")
    with pytest.raises(NotFoundError, match="not a readable SavedModel"):
        scan(str(version))
    (version / "saved_model.pb").write_bytes(b"")
    with pytest.raises(NotFoundError, match="it contains no graph"):
        scan(str(version))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "prodml", "scan", *arguments],
        capture_output=True,
        text=True,
    )


def test_the_exit_code_reports_findings_and_tensorflow_is_not_imported(tmp_path: Path) -> None:
    clean = command(Model().save(tmp_path / "clean"))
    assert clean.returncode == 0 and "no operation touches files" in clean.stdout
    imported = {line.rpartition("|")[2].strip() for line in clean.stderr.splitlines()}
    assert "prodml.scan.saved_model_scan" in imported
    assert not imported & {"tensorflow", "apache_beam", "ml_metadata"}
    reading = Model(read_file).save(tmp_path / "reading")
    found = command(reading)
    assert found.returncode == 1
    assert re.search(
        r"reads files +ReadFile +ReadFile +__inference.* serve +signature", found.stdout
    )
    as_json = json.loads(command(reading, "--json").stdout)
    assert as_json[0]["reached_from"] == ["signature serving_default"]
    shutil.rmtree(reading)
    assert command(reading).returncode == 2


def registry() -> Any:
    operations = op_def_pb2.OpList()
    listed = pywrap_tf_session.TF_GetAllOpList()
    operations.ParseFromString(pywrap_tf_session.TF_GetBuffer(listed))
    # Without operations that other libraries of this process have registered.
    return [each for each in operations.op if risky_operations.is_registered(each.name)]


SUSPICIOUS = re.compile(
    r"file|path|address|url|(?<!re)dir$|log_?dir|directory|uri|(?<!output_)prefix|memory_region|"
    r"data_source|descriptor_source|^call_target|^target_name$|^token$",
    re.I,
)
HARMLESS = {
    "CTCBeamSearchDecoder": "top_paths counts beams",
    "ExperimentalSetStatsAggregatorDataset": "counter_prefix is a label",
    "SetStatsAggregatorDataset": "counter_prefix is a label",
    "ShardedFilename": "makes a name, opens nothing",
    "ShardedFilespec": "makes a name, opens nothing",
    "TensorSliceDataset": "is_files is a hint for sharding",
}
COVERED = {
    *risky_operations.ALWAYS,
    *risky_operations.CHECKPOINTS,
    *risky_operations.TABLES,
    *risky_operations._BY_ATTRIBUTE,
    "CacheDataset",
    "CacheDatasetV2",
}


def test_every_operation_with_a_file_or_address_is_covered() -> None:
    uncovered = [
        each.name
        for each in registry()
        if any(SUSPICIOUS.search(part.name) for part in (*each.input_arg, *each.attr))
        and each.name not in COVERED | HARMLESS.keys()
    ]
    assert uncovered == []


def test_the_list_of_known_operations_equals_the_registry_of_tensorflow() -> None:
    names = {each.name for each in registry()}
    assert names == risky_operations._registered()
    assert (COVERED | HARMLESS.keys()) - names == set()
