"""`prodml serve`: the embedded model server, with TF Serving's options."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from prodml.cli.options import quiet_tensorflow
from prodml.serving.configuration.server_options import ServerOptions

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class ServeCommand(TyperCommand):
    """Takes truth values as TF Serving does: `--enable_batching`, `--enable_batching=false`.

    Options that only TF Serving has are accepted if they change no answer.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from prodml.serving.configuration.tf_serving_options import without_foreign_options

        own = without_foreign_options(args)
        return super().parse_args(ctx, [_plain(argument) for argument in own])


def serve(*, version: bool, **values: Any) -> None:
    """Serve models by gRPC and REST, as TensorFlow's own model server does.

    The options are tensorflow_model_server's, under the same names. Ctrl-C or SIGTERM stops the
    server when the requests that have begun are answered.

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


def _plain(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if not equals or name.removeprefix("--") not in _SWITCHES or value.lower() not in _TRUTHS:
        return argument
    return name if _TRUTHS[value.lower()] else name.replace("--", "--no", 1)


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
    print(f"prodml ModelServer: {importlib.metadata.version('prodml')}")
    print(f"TensorFlow Library: {importlib.metadata.version('tensorflow')}")


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--version", help="Show the versions and exit.")],
)
# Typer reads a command's options off its signature; these are declared once, in ServerOptions.
_PARAMETERS = [*(_parameter(field) for field in _FIELDS), _VERSION]
serve.__signature__ = inspect.Signature(_PARAMETERS)  # type: ignore[attr-defined]
serve.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}
