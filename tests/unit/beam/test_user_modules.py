"""Functions of user modules run in processes that cannot import these modules."""

import subprocess
import sys
from pathlib import Path

from apache_beam.internal import pickler

from prodml.beam.user_modules import user_modules_by_value
from prodml.dsl.user_code import load_module

LOAD = """
import sys
from apache_beam.internal import pickler
print(pickler.loads(sys.stdin.buffer.read())(20))
"""


def test_a_function_with_a_sibling_module_runs_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "units_of_a_sibling.py").write_text(
        "MILES = 2\n\ndef in_km(n):\n    return n * MILES\n"
    )
    module = tmp_path / "preprocessing.py"
    module.write_text(
        "import units_of_a_sibling as units\n"
        "from units_of_a_sibling import in_km\n\n"
        "class Distance:\n"
        "    def __init__(self, n):\n"
        "        self.km = in_km(n) + units.MILES\n\n"
        "def distance(n):\n"
        "    return Distance(n).km\n"
    )
    function = load_module(str(module)).distance
    with user_modules_by_value():
        sent = pickler.dumps(function)
    ran = subprocess.run([sys.executable, "-c", LOAD], input=sent, capture_output=True, cwd="/")
    assert ran.stdout == b"42\n", ran.stderr.decode()
