"""Beam pipeline options that create each view only once."""

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
