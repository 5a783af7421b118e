"""The `prodml` command: collects the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from prodml.cli import (
    artifacts,
    baseline,
    compile,
    lineage,
    plan,
    predict,
    rollout,
    run,
    runs,
    serve,
    show,
)
from prodml.errors import ProdmlError

app = typer.Typer(
    name="prodml",
    help="Production machine learning pipelines: run, plan, and see what they made.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("compile")(compile.compile)
app.command("runs")(runs.runs)
app.command("show")(show.show)
app.command("artifacts")(artifacts.artifacts)
app.command("lineage")(lineage.lineage)
app.command("serve", cls=serve.ServeCommand)(serve.serve)
app.command("predict")(predict.predict)
app.add_typer(rollout.app, name="rollout")
app.add_typer(baseline.app, name="baseline")


@app.callback()
def options(
    traceback: Annotated[
        bool, typer.Option("--traceback", help="On an error, show where it was raised.")
    ] = False,
) -> None:
    """Production machine learning pipelines: run, plan, and see what they made."""


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 the run failed, 2 the request was wrong,
    3 done but not pushed (`--require-push`), 130 cancelled."""
    # Taken wherever it stands: it is typed again behind a command that just failed.
    show_traceback = "--traceback" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--traceback"]
    try:
        app()
    except ProdmlError as error:
        if show_traceback:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("cancelled", file=sys.stderr)
        sys.exit(130)
    except Exception:
        # Before the quiet shutdown below, which would drop it.
        traceback.print_exc()
        sys.exit(1)
    finally:
        _quiet_shutdown()


def _quiet_shutdown() -> None:
    """Drops what libraries say after the last word: TensorFlow's destructors fail at shutdown."""
    if "tensorflow" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
