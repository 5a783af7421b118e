"""Lists the operations of a SavedModel that touch files, the network or Python.

The model is read as a protocol buffer: it is neither loaded nor run, and TensorFlow is not
imported. Operations of the loader's own saver, and tables that are filled from the model's own
assets, are not findings.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from prodml.documents import parse_text_proto
from prodml.errors import NotFoundError
from prodml.paths import first_link_outside, inside
from prodml.scan.risky_operations import (
    ALWAYS,
    CHECKPOINTS,
    TABLES,
    danger_of_attributes,
    is_registered,
)
from prodml.scan.saved_model_graphs import SAVER, MetaGraph, Origin, Place
from prodml.scan.saved_model_messages import SavedModel
from prodml.storage.model_versions import versions_on_disk

_BINARY: Final = "saved_model.pb"
_TEXT: Final = "saved_model.pbtxt"
_CHUNKED: Final = "saved_model.cpb"
_LAMBDA: Final = re.compile(rb'\\*"class_name\\*"\s*:\s*\\*"(?:[\w.]+>)?Lambda\\*"')
"""A Keras layer with code in its configuration, which is escaped if it is JSON inside JSON."""
_KERAS_FILES: Final = (".keras", ".h5", ".hdf5")


@dataclass(frozen=True, order=True)
class Finding:
    """Something in a model that touches files, the network or Python.

    Attributes:
        danger: the effect, such as `reads files`.
        operation: name of the operation; `asset`, `link`, `Lambda` or `file` for other findings.
        node: name of the node, or path of the file.
        function: the function that contains the node; empty for the main graph.
        meta_graph: tags of the MetaGraph.
        reached_from: the signatures that run it, and `loading`; empty if only a caller of
            `tf.saved_model.load` can run it.
    """

    danger: str
    operation: str
    node: str
    function: str = ""
    meta_graph: tuple[str, ...] = ()
    reached_from: tuple[str, ...] = ()


def scan(directory: str) -> list[Finding]:
    """Returns all findings in a SavedModel, sorted.

    Args:
        directory: directory that contains `saved_model.pb`.

    Raises:
        NotFoundError: there is no SavedModel, or it cannot be read.
    """
    model = _read(directory)
    found = list(_findings_in_files(directory))
    for message in model.meta_graphs:
        found += _findings_in_graphs(MetaGraph(message))
        for asset in message.asset_file_def:
            assets = os.path.join(directory, "assets")
            if not inside(assets, os.path.join(assets, asset.filename)):
                tags = tuple(message.meta_info_def.tags)
                found.append(Finding("reads files", "asset", asset.filename, meta_graph=tags))
    return sorted(set(found))


def _findings_in_graphs(meta_graph: MetaGraph) -> Iterator[Finding]:
    reached = {name: meta_graph.reached_from(at) for name, at in meta_graph.entry_points().items()}
    for graph_name, graph in meta_graph.graphs.items():
        for node in graph.nodes.values():
            if node.op in meta_graph.graphs and not is_registered(node.op):
                continue
            place = (graph_name, node.name)
            by = tuple(sorted(name for name, places in reached.items() if place in places))
            danger = _danger(meta_graph, place, node, by)
            if danger is not None:
                yield Finding(danger, node.op, node.name, graph_name, meta_graph.tags, by)


def _danger(meta_graph: MetaGraph, place: Place, node: Any, by: tuple[str, ...]) -> str | None:
    operation = node.op
    if operation in ALWAYS:
        return ALWAYS[operation]
    if operation in TABLES:
        origins = meta_graph.origins(place, TABLES[operation])
        return None if origins == {Origin.ASSET} else "reads files"
    if operation in CHECKPOINTS:
        return None if _is_part_of_saver(meta_graph, place, node, by) else CHECKPOINTS[operation]
    if operation in ("CacheDataset", "CacheDatasetV2"):
        return None if _has_no_file(meta_graph, place, node) else "writes files"
    if not is_registered(operation):
        return "is unknown to TensorFlow"
    return danger_of_attributes(node)


def _is_part_of_saver(meta_graph: MetaGraph, place: Place, node: Any, by: tuple[str, ...]) -> bool:
    """Returns whether a node only restores or saves the model's own checkpoint.

    A restore runs whenever the model is loaded, so its file must be the one that the loader sets.
    A save runs only if a caller saves the model again; it derives file names from the one it gets.
    """
    if by != (SAVER,):
        return False
    if node.op == "MergeV2Checkpoints":
        return Origin.CHECKPOINT in meta_graph.origins(place, 1)
    origins = meta_graph.origins(place, 0)
    if node.op.startswith("Save"):
        return Origin.CHECKPOINT in origins
    return origins == {Origin.CHECKPOINT}


def _has_no_file(meta_graph: MetaGraph, place: Place, node: Any) -> bool:
    """Returns whether a dataset is cached in memory: its file name is a constant empty string."""
    source = meta_graph.graphs[place[0]].nodes.get(node.input[1].partition(":")[0])
    if source is None or source.op != "Const":
        return False
    values = [entry.value.tensor for entry in source.attr if entry.key == "value"]
    return all(not v.tensor_content and list(v.string_val) in ([], [b""]) for v in values)


def _findings_in_files(directory: str) -> Iterator[Finding]:
    link = first_link_outside(directory)
    if link is not None:
        yield Finding("reads files", "link", link)
    if os.path.isfile(os.path.join(directory, _CHUNKED)):
        yield Finding("is not read by this scan", "file", _CHUNKED)
    for folder, _, names in os.walk(directory):
        for name in sorted(names):
            path = os.path.join(folder, name)
            is_graph = name in (_BINARY, _TEXT, "keras_metadata.pb")
            if (is_graph or name.endswith(_KERAS_FILES)) and _has_lambda(path):
                yield Finding("runs Python", "Lambda", os.path.relpath(path, directory))


def _has_lambda(path: str) -> bool:
    """Returns whether a file contains a Keras Lambda layer, whose code Keras would run."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(
                _LAMBDA.search(archive.read(name))
                for name in archive.namelist()
                if name.endswith(".json")
            )
    with open(path, "rb") as file:
        return _LAMBDA.search(file.read()) is not None


def _read(directory: str) -> Any:
    binary, text = (os.path.join(directory, name) for name in (_BINARY, _TEXT))
    try:
        if os.path.isfile(binary):
            with open(binary, "rb") as file:
                model = SavedModel.FromString(file.read())
        elif os.path.isfile(text):
            with open(text, encoding="utf-8") as file:
                model = parse_text_proto(file.read(), SavedModel(), allow_unknown_field=True)
        else:
            raise NotFoundError(
                f"{directory} is not a SavedModel: {_BINARY} is missing{_hint(directory)}"
            )
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{directory} is not a readable SavedModel: {error}") from error
    except OSError as error:
        raise NotFoundError(f"{directory} cannot be read: {error}") from error
    if not model.meta_graphs:
        raise NotFoundError(f"{directory} is not a SavedModel: it contains no graph")
    return model


def _hint(directory: str) -> str:
    try:
        versions = versions_on_disk(directory)
    except OSError:
        return "; the directory does not exist"
    return f"; the newest version is {versions[max(versions)]}" if versions else ""
