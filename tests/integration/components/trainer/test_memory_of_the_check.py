"""The trained model and the checked model are not in memory at the same time.

The peak is read from /proc: `ru_maxrss` of a process begins with what its parent had at the fork.
"""

import subprocess
import sys
from pathlib import Path

ROWS = 500_000
SCRIPT = f"""
import sys
from pathlib import Path
from prodml import keras_choice
keras_choice.choose("tf_keras")
from support.flight_rows import flight_examples
from support.running import execute
from prodml.artifacts import Examples
from prodml.components import Trainer
from prodml.data.examples_layout import PayloadFormat
from prodml.dsl.channel import Channel
from prodml.orchestration.launch import peak_memory

def peak():
    return peak_memory.peak() // 2**20

root = Path(sys.argv[1])
(root / "module.py").write_text('''
import tensorflow as tf
from prodml.components import export_model
from prodml.orchestration.launch import peak_memory
def run_fn(fn_args):
    inputs = tf.keras.Input([1], dtype="int64")
    model = tf.keras.Model(inputs, tf.keras.layers.Embedding({ROWS}, 100)(inputs))
    spec = {{"hour": tf.io.FixedLenFeature([1], tf.int64)}}
    export_model(lambda f: model(f["hour"]), fn_args.serving_model_dir, feature_spec=spec)
    print("trained", peak_memory.peak() // 2**20)
''')
examples = flight_examples(root / "examples", PayloadFormat.PARQUET)
peak_memory.reset_peak()
before = peak()
trainer = Trainer(examples=Channel(type=Examples), module_file=str(root / "module.py"))
execute(trainer, {{"examples": examples}}, root)
print("before", before)
print("checked", peak())
"""


def test_the_check_of_a_large_model_needs_no_additional_memory(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    words = (line.split() for line in ran.stdout.splitlines())
    peak = {line[0]: int(line[1]) for line in words if line[0] in ("before", "trained", "checked")}
    model_mb = ROWS * 100 * 4 / 2**20
    assert peak["trained"] > peak["before"] + model_mb
    assert peak["checked"] < peak["trained"] + model_mb / 4
