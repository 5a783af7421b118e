from __future__ import annotations

import subprocess
import sys

from tensorflow.core.framework import types_pb2

from prodml.serving.values.data_types import DataType


def test_the_numbers_are_tensorflows():
    theirs = {
        name.removeprefix("DT_"): number
        for name, number in types_pb2.DataType.items()
        if not name.endswith("_REF") and number
    }
    assert {kind.name: kind.value for kind in DataType} == theirs


def test_reading_and_writing_json_needs_no_tensorflow():
    code = (
        "import sys, prodml.serving.rest_api.json_worker\n"
        "print(*sorted({'tensorflow', 'grpc', 'aiohttp', 'pyarrow'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
