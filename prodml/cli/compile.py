"""`prodml compile`."""

from __future__ import annotations

from typing import Annotated

import typer

from prodml.cli.options import ConfigFile, Params, PipelineFile


def compile(
    pipeline: PipelineFile,
    config: ConfigFile = None,
    param: Params = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="F", help="File to write.")
    ] = None,
) -> None:
    """Check a pipeline and print its compiled form (PipelineSpec) as JSON."""
    from pathlib import Path

    from prodml.cli import options
    from prodml.cli.printing import print_json_text
    from prodml.compiler.spec import to_json
    from prodml.config import load_config
    from prodml.errors import RequestError

    loaded = load_config(config)
    spec = options.load_spec_and_warn(
        pipeline, loaded.params, param, module_roots=loaded.module_roots
    )
    text = to_json(spec)
    if output is None:
        print_json_text(text.removesuffix("\n"))
    else:
        try:
            Path(output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise RequestError(f"--output {output}: {error.strerror}") from error
