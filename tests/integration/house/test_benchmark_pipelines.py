"""The pipelines of the benchmarks compile; only `make bench`, which takes long, runs them."""

from pathlib import Path

import pytest

from prodml.orchestration.code.pipeline_file import load_spec

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", ["own_pipeline.py", "own_taxi_pipeline.py"])
@pytest.mark.parametrize("as_tfx", [True, False])
def test_a_benchmarked_pipeline_compiles(name: str, as_tfx: bool, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("")
    parameters = {
        "data_root": str(tmp_path),
        "module_file": str(tmp_path / "module.py"),
        "train_steps": 10,
        "min_auc": 0.6,
        "serving_dir": str(tmp_path / "serving"),
        "as_tfx": as_tfx,
    }
    spec = load_spec(str(BENCHMARKS / name), parameters, module_roots=[])
    payload = next(p for p in spec.node("CsvExampleGen").parameters if p.name == "payload_format")
    assert payload.value == ("FORMAT_TF_EXAMPLE" if as_tfx else "FORMAT_PARQUET")
