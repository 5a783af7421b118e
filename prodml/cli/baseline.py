"""`prodml baseline set|reset`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import LARGEST_NUMBER, ConfigFile
from prodml.cli.terminal import say

app = typer.Typer(
    no_args_is_help=True, help="Set or reset the model that candidates are compared with."
)

_Pipeline = Annotated[str, typer.Option("--pipeline", help="Name of the pipeline.")]
_Why = Annotated[str, typer.Option("--why", help="Reason, which is recorded.")]
_Who = Annotated[
    str | None, typer.Option("--who", help="Person who decided. Default: the current user.")
]


@app.command("set")
def set_baseline(
    model: Annotated[
        int,
        typer.Argument(min=1, max=LARGEST_NUMBER, metavar="MODEL", help="Id of a Model artifact."),
    ],
    pipeline: _Pipeline,
    why: _Why,
    who: _Who = None,
    config: ConfigFile = None,
) -> None:
    """Compare candidates with this model, until `baseline reset`."""
    from prodml.config import load_config
    from prodml.releases.baseline import set_baseline

    set_baseline(load_config(config).open_store(), pipeline, model, who or _user(), why)
    say(f"baseline of {pipeline} is model {model}")


@app.command("reset")
def reset_baseline(
    pipeline: _Pipeline, why: _Why, who: _Who = None, config: ConfigFile = None
) -> None:
    """Compare candidates with the latest blessed model again."""
    from prodml.config import load_config
    from prodml.releases.baseline import reset_baseline

    reset_baseline(load_config(config).open_store(), pipeline, who or _user(), why)
    say(f"baseline of {pipeline} is the latest blessed model")


def _user() -> str:
    import getpass

    return getpass.getuser()
