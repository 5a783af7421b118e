"""Pickles are found, and nothing else."""

import gzip
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pickles import is_pickle, pickles_under


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"a": 1}, {b"key": 0}, Path("x"), [1, 2], print, "text", b"b"])
def test_a_pickle_of_any_protocol_is_found(protocol: int, value: Any) -> None:
    assert is_pickle(pickle.dumps(value, protocol))


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"N.", b".", b"0.", b"1\n2\n", b'{"a": 1}', b"\x80", b"\x0a\x03abc", b"I1\n"],
)
def test_other_content_is_not_a_pickle(content: bytes) -> None:
    assert not is_pickle(content)


def test_pickles_are_found_inside_of_other_files(tmp_path: Path) -> None:
    import tensorflow as tf

    hidden = pickle.dumps({"a": [1]})
    (tmp_path / "plain").write_bytes(hidden)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(hidden))
    with tf.io.TFRecordWriter(str(tmp_path / "records.gz"), "GZIP") as writer:
        writer.write(b"harmless")
        writer.write(hidden)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("lambda.bin", hidden)
        archive.writestr("config.json", "{}")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "numbers.npy", np.arange(3))
    (tmp_path / "config.json").write_text(json.dumps({"a": 1}))
    assert pickles_under(tmp_path) == [
        "model.keras (lambda.bin)",
        "objects.npy (array of objects)",
        "packed.gz (unpacked)",
        "plain",
        "records.gz (record 1)",
    ]
