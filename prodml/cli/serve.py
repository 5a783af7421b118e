"""`prodml serve`: the embedded model server, with TF Serving's options."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from prodml.cli.options import quiet_tensorflow
from prodml.cli.terminal import say
from prodml.serving.configuration.server_options import ServerOptions

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class ServeCommand(TyperCommand):
    """Accepts boolean flags as TF Serving does: `--enable_batching`, `--enable_batching=false`.

    Options that only TF Serving has are accepted if they do not change any response.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from prodml.serving.configuration.tf_serving_options import without_foreign_options

        own = without_foreign_options(args)
        return super().parse_args(ctx, [_as_switch(argument) for argument in own])


def serve(*, version: bool, **values: Any) -> None:
    """Serve models by gRPC and REST, as TensorFlow's own model server does.

    The options have the same names as those of tensorflow_model_server. On Ctrl-C or SIGTERM the
    server finishes the requests in progress and exits.

    Example: prodml serve --model_name=flights --model_base_path=.prodml/serving/flights
    --rest_api_port=8501
    """
    if version:
        _print_versions()
        return
    options = ServerOptions(**values)
    options.check()
    quiet_tensorflow()
    from prodml.serving import server

    server.serve(options)


def _as_switch(argument: str) -> str:
    """Rewrites `--flag=true` as `--flag`, and `--flag=false` as `--noflag`."""
    name, equals, value = argument.partition("=")
    if not equals or name.removeprefix("--") not in _SWITCHES or value.lower() not in _BOOLEANS:
        return argument
    return name if _BOOLEANS[value.lower()] else name.replace("--", "--no", 1)


_FIELDS = dataclasses.fields(ServerOptions)
_SWITCHES = {field.name for field in _FIELDS if isinstance(field.default, bool)}


def _parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    name = field.name
    names = f"--{name}/--no{name}" if name in _SWITCHES else f"--{name}"
    option = typer.Option(names, help=field.metadata["help"], show_default=field.default != "")
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=Annotated[type(field.default), option],
    )


def _print_versions() -> None:
    say(f"prodml ModelServer: {importlib.metadata.version('prodml')}")
    say(f"TensorFlow Library: {importlib.metadata.version('tensorflow')}")


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--version", help="Show the versions and exit.")],
)
# Typer reads options from a command's signature; these are declared once, in ServerOptions.
_PARAMETERS = [*(_parameter(field) for field in _FIELDS), _VERSION]
serve.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
serve.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}
