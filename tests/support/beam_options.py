"""The pipeline options that Beam declares, in the form of prodml/beam/runner_options.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

import prodml.beam.options  # noqa: F401  # declares options of its own

FILE = Path(__file__).parents[2] / "prodml" / "beam" / "runner_options.json"

Groups = dict[str, dict[str, str | list[str]]]

_FLAGS = (argparse._StoreTrueAction, argparse._StoreFalseAction)
_LISTS = ("_AppendAction", "_CommaSeparatedListAction")
_BY_JAVA_TYPE = {"STRING": "text", "INTEGER": "integer", "NUMBER": "number", "ARRAY": "list"}


def python_groups(names: set[str]) -> Groups:
    """Returns the options of PipelineOptions subclasses by the name of the class."""
    classes = {each.__name__: each for each in PipelineOptions.__subclasses__()}
    found: Groups = {}
    for name in sorted(names):
        parser = argparse.ArgumentParser(add_help=False)
        classes[name]._add_argparse_args(parser)
        found[name] = {
            flag.removeprefix("--"): _kind(action)
            for action in parser._actions
            for flag in action.option_strings
            if "-" not in flag.removeprefix("--")
        }
    return found


def java_groups(job_endpoint: str, names: set[str]) -> Groups:
    """Returns the options that a Java job server describes, by `java.` and the interface's name."""
    with grpc.insecure_channel(job_endpoint) as channel:
        described = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions(
            beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=30
        )
    found: Groups = {name: {} for name in sorted(names)}
    for option in sorted(described.options, key=lambda option: option.name):
        group = f"java.{option.group.rpartition('.')[2]}"
        if group in names:
            type_name = beam_job_api_pb2.PipelineOptionType.Enum.Name(option.type)
            by_default = ", true by default" if option.default_value == "true" else ""
            found[group][option.name] = _BY_JAVA_TYPE.get(type_name, f"flag{by_default}")
    return found


def recorded() -> Groups:
    """Returns the content of runner_options.json."""
    return json.loads(FILE.read_text("utf-8"))


def record(groups: Groups) -> None:
    """Writes groups to runner_options.json, beside those that it has."""
    FILE.write_text(json.dumps(recorded() | groups, indent=1, sort_keys=True) + "\n", "utf-8")


def _kind(action: Any) -> str | list[str]:
    if isinstance(action, _FLAGS):
        return "flag"
    if type(action).__name__ in _LISTS:
        return "list"
    if action.choices:
        return list(action.choices)
    if action.type in (int, float):
        return "integer" if action.type is int else "number"
    return "text" if action.type in (None, str) else "json"
