"""Hypothesis strategies that several tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from prodml.compiler.spec import (
    ChannelSpec,
    ConditionSpec,
    GuardSpec,
    InputSpec,
    NodeKind,
    NodeSpec,
    OutputSpec,
    ParameterSpec,
    PipelineSpec,
    WatchedSpec,
)

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)

parameters = st.builds(
    ParameterSpec,
    name=names,
    value=json_values | st.sampled_from(["/project", "/project/a", "${project}/a", "$${project}"]),
    watched=st.lists(
        st.builds(WatchedSpec, at=st.just(""), kind=st.sampled_from(["file", "module"])), max_size=1
    ).map(tuple),
    type=st.sampled_from(["Any", ["union", "str", "None"], ["class", "/project/file.py:Class"]]),
)
channels = st.builds(ChannelSpec, type=names, producer=st.none() | names, output=st.none() | names)
nodes = st.builds(
    NodeSpec,
    id=names,
    kind=st.sampled_from(NodeKind),
    component=names,
    execution_type=names,
    inputs=st.lists(
        st.builds(
            InputSpec,
            name=names,
            type=names,
            is_optional=st.booleans(),
            channels=st.lists(channels, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    outputs=st.lists(st.builds(OutputSpec, name=names, type=names), max_size=3).map(tuple),
    parameters=st.lists(parameters, max_size=3).map(tuple),
    conditions=st.lists(
        st.builds(
            ConditionSpec,
            producer=names,
            output=names,
            index=st.integers(0, 3),
            place=st.sampled_from(["property", "custom_property", "uri"]),
            name=names,
            comparison=st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
            value=st.integers(-9, 9) | names,
        ),
        max_size=2,
    ).map(tuple),
    upstream=st.lists(names, max_size=3).map(tuple),
    is_cached=st.booleans(),
    location=st.text(max_size=20),
    guards=st.lists(st.builds(GuardSpec, node=names, producer=names, output=names), max_size=2).map(
        tuple
    ),
    rest_of_run=st.lists(names, max_size=3).map(tuple),
    is_function=st.booleans(),
    is_thread_safe=st.booleans(),
)
pipeline_specs = st.builds(
    PipelineSpec,
    name=names,
    parameters=st.lists(parameters, max_size=3).map(tuple),
    nodes=st.lists(nodes, max_size=4).map(tuple),
    location=st.text(max_size=20),
    project=st.just("/project"),
    import_roots=st.lists(names, max_size=2).map(tuple),
    artifact_types=st.lists(names, max_size=2).map(tuple),
)
