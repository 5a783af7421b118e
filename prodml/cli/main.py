"""The `prodml` command: registers the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from prodml.cli import (
    artifacts,
    baseline,
    compile,
    demo,
    environment,
    gc,
    lineage,
    logs,
    metadata,
    plan,
    predict,
    retrain,
    rollout,
    root,
    run,
    runs,
    scan,
    schedule,
    serve,
    show,
)
from prodml.cli.terminal import open_missing_streams, say
from prodml.errors import ProdmlError
from prodml.secrets import redact

app = typer.Typer(
    name="prodml",
    help="Run, plan and inspect production machine learning pipelines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run", cls=run.RunCommand)(run.run)
app.command("retrain")(retrain.retrain)
app.command("schedule")(schedule.schedule)
app.command("plan")(plan.plan)
app.command("compile")(compile.compile)
app.command("runs")(runs.runs)
app.command("show")(show.show)
app.command("logs")(logs.logs)
app.command("artifacts")(artifacts.artifacts)
app.command("lineage")(lineage.lineage)
app.command("gc")(gc.gc)
app.command("serve", cls=serve.ServeCommand)(serve.serve)
app.command("predict")(predict.predict)
app.command("scan")(scan.scan)
app.command("demo")(demo.demo)
app.command("environment")(environment.environment)
app.add_typer(rollout.app, name="rollout")
app.add_typer(baseline.app, name="baseline")
app.add_typer(metadata.app, name="metadata")
app.add_typer(root.app, name="root")


@app.callback()
def options(
    traceback: Annotated[
        bool, typer.Option("--traceback", help="On an error, print the Python traceback.")
    ] = False,
) -> None:
    """Run, plan and inspect production machine learning pipelines."""


def main() -> None:
    """Runs the command line and exits.

    Exit codes: 0 success, 1 the run failed, 2 the request was invalid, 3 success but not pushed
    (`--require-push`), 4 `prodml retrain` started no run, 130 cancelled.
    """
    open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # On a terminal that is not UTF-8, printing a result must not fail.
            stream.reconfigure(errors="backslashreplace")
    # Accepted at any position: users append it to the command that just failed.
    show_traceback = "--traceback" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--traceback"]
    code = _exit_code(show_traceback)
    if "tensorflow" in sys.modules:
        _exit_at_once(code)
    sys.exit(code)


def _exit_code(show_traceback: bool) -> int:
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except ProdmlError as error:
        if show_traceback:
            _print_traceback()
        say(redact(f"error: {error}"), is_error=True)
        return error.exit_code
    except KeyboardInterrupt:
        say("cancelled", is_error=True)
        return 130
    except OSError as error:
        if show_traceback or not (error.filename and error.strerror):
            _print_traceback()
        else:
            say(redact(f"error: {error.filename}: {error.strerror}"), is_error=True)
        return 1
    except Exception:
        _print_traceback()
        return 1
    return 0


def _print_traceback() -> None:
    say(redact(traceback.format_exc()), end="", is_error=True)


def _exit_at_once(code: int) -> NoReturn:
    """Exits after the atexit callbacks, without Python's finalization.

    With TensorFlow loaded, finalization takes a second, and its destructors print errors.
    """
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    atexit._run_exitfuncs()
    os._exit(code)
