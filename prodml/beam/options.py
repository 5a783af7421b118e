"""Beam pipeline options of prodml: views created only once, and options that Beam would drop."""

from __future__ import annotations

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions


class CachedOptions(PipelineOptions):  # type: ignore[misc]  # Beam ships no types
    """Pipeline options that cache their views.

    Beam creates views several times for each transform, 3,100 times in a run of the flights
    pipeline, and builds an argument parser for each: a tenth of Transform. All views of one set of
    options share their values.
    """

    def __init__(self, flags: Any = None, **values: Any) -> None:
        self.__dict__["_views"] = {}
        super().__init__(flags, **values)

    def view_as(self, cls: Any) -> Any:
        views = self.__dict__["_views"]
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


class JavaJobServerOptions(PipelineOptions):  # type: ignore[misc]  # Beam ships no types
    """Options of Java job servers that these do not describe: Beam drops options it does not know.

    `pipeline_resources_detector_factory_class` names a Java class in the class path of the job
    server that decides which jars are uploaded with each job; by default the whole class path.
    """

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--pipeline_resources_detector_factory_class")
