"""The user's module for both systems, with a clock around its run_fn."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

RUN_FN_SECONDS = "BENCHMARK_RUN_FN_SECONDS"
"""Environment variable with the file that gets the seconds."""

_IMPORT = re.compile(r"^from prodml\.components import FnArgs(, export_model)?\n", re.MULTILINE)
_EXPORT = Path(__file__).parents[2] / "components" / "trainer" / "export.py"
_CLOCK = f"""

def timed(function):
    def run(fn_args):
        import os
        import time

        started = time.perf_counter()
        function(fn_args)
        with open(os.environ["{RUN_FN_SECONDS}"], "w") as file:
            file.write(str(time.perf_counter() - started))

    return run


run_fn = timed(run_fn)
"""


def write_timed_module(source: Path, work_dir: Path, fn_args_from: str) -> Path:
    """Copies a module into a directory of its own (TFX packages all that is there).

    Args:
        fn_args_from: the package that FnArgs is imported from.
    """
    text = source.read_text()
    found = _IMPORT.search(text)
    if found is None:
        raise ValueError(f"{source} does not import FnArgs from prodml.components")
    path = work_dir / "module" / source.name
    path.parent.mkdir(exist_ok=True)
    imports = f"from {fn_args_from} import FnArgs\n"
    if found[1]:
        shutil.copy(_EXPORT, path.parent / "export.py")
        imports += "from export import export_model\n"
    path.write_text(_IMPORT.sub(imports, text) + _CLOCK)
    return path
