"""Declaration of the Importer."""

from __future__ import annotations

from collections.abc import Mapping

from prodml.artifacts import Artifact, PropertyValue
from prodml.dsl.component import Component
from prodml.dsl.signature import (
    OutputDeclaration,
    Parameter,
    ParameterDeclaration,
    Signature,
)


class Importer(Component):
    """Records an existing directory as an artifact, with the output key "result".

    An unchanged directory is recorded once, unless `reimport` is set.

    Args:
        source_uri: the directory; its files are not copied.
        artifact_type: type of the artifact, such as Schema.
        reimport: whether to record a new artifact in every run.
        properties: values of the properties that the type declares, such as split_names.
        custom_properties: values of other properties.
    """

    kind = "importer"
    execution_type = "tfx.dsl.components.common.importer.Importer"

    source_uri: Parameter[str]
    reimport: Parameter[bool] = False
    properties: Parameter[dict[str, int | float | str]] = {}  # noqa: RUF012 (never changed)
    custom_properties: Parameter[dict[str, int | float | str]] = {}  # noqa: RUF012

    def __init__(
        self,
        source_uri: str,
        artifact_type: type[Artifact],
        reimport: bool = False,
        properties: Mapping[str, PropertyValue] | None = None,
        custom_properties: Mapping[str, PropertyValue] | None = None,
    ) -> None:
        declared = type(self).signature
        self.signature = Signature(
            inputs={},
            outputs={"result": OutputDeclaration("result", artifact_type)},
            parameters={
                **declared.parameters,
                "source_uri": ParameterDeclaration("source_uri", str, ""),
            },
        )
        super().__init__(
            source_uri=source_uri,
            reimport=reimport,
            properties=dict(properties or {}),
            custom_properties=dict(custom_properties or {}),
        )
