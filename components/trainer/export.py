"""Exports a model of Keras 2 or Keras 3 so that a model server can serve it.

User modules import this file, so it imports no large library, and nothing of prodml: with a copy
of this file, a module file runs under TFX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Features = dict[str, Any]


def export_model(
    model: Any,
    directory: str | None,
    *,
    feature_spec: Mapping[str, Any] | None = None,
    transform: Callable[[Features], Features] | None = None,
    signatures: Mapping[str, Any] | None = None,
    resources: Sequence[Any] = (),
) -> None:
    """Writes a SavedModel with the given signatures, which TF Serving can load in a session.

    The SavedModel contains the variables that the signatures use, and the tables and assets of the
    model and the resources. It does not contain the Keras model itself, because
    `tf.saved_model.save` of a Keras 3 model stores its variables twice, and a model server restores
    the copies that no signature uses. To continue training later, save the model's weights, too.

    Args:
        model: a model of Keras 2 or Keras 3, or any callable.
        directory: directory to write to, usually `fn_args.serving_model_dir`.
        feature_spec: feature spec of `tf.io.parse_example`. If set, the signature
            `serving_default` parses its input `examples`, serialized tf.Examples of shape [batch],
            and returns the model's outputs by name; a single tensor is named `outputs`.
        transform: converts the parsed features into the model's inputs, such as
            `tft.TFTransformOutput(...).transform_features_layer()`. Features that are not inputs
            of the model are dropped.
        signatures: further signatures by name: each a `tf.function` with an `input_signature`, or
            a concrete function.
        resources: further objects with tables or assets that the signatures use, such as a lookup
            layer.

    Raises:
        ValueError: there is no signature, or a signature has no fixed inputs.
    """
    import tensorflow as tf

    functions = dict(signatures or {})
    if feature_spec is not None:
        functions["serving_default"] = _parsing(model, feature_spec, transform)
    if not functions:
        raise ValueError(
            "export_model needs a signature; pass feature_spec=... or "
            "signatures={'serving_default': ...}"
        )
    traced = {name: _traced(name, function) for name, function in functions.items()}
    exported = tf.Module()
    exported.used_variables = [*_variables(traced.values())]
    exported.used_resources = [*_resources([model, transform, *resources])]
    tf.saved_model.save(exported, directory, signatures=traced)


def _parsing(
    model: Any, feature_spec: Mapping[str, Any], transform: Callable[[Features], Features] | None
) -> Any:
    import tensorflow as tf

    inputs = getattr(model, "input", None)

    def serve(examples: Any) -> Any:
        features = tf.io.parse_example(examples, dict(feature_spec))
        if transform is not None:
            features = transform(features)
        if isinstance(inputs, dict):
            features = {name: features[name] for name in inputs}
        outputs = model(features)
        return outputs if isinstance(outputs, dict) else {"outputs": outputs}

    return tf.function(
        serve, input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False
    )


def _traced(name: str, function: Any) -> Any:
    if not hasattr(function, "get_concrete_function"):
        # The function is concrete already.
        return function
    try:
        return function.get_concrete_function()
    except TypeError as error:
        raise ValueError(
            f"signature {name!r} has no fixed inputs; decorate it with "
            f"@tf.function(input_signature=[tf.TensorSpec(...)])"
        ) from error


def _variables(functions: Any) -> Iterator[Any]:
    """The variables that the functions use, without duplicates, in order of first use.

    The order of `graph.variables` changes from run to run, and so would the written files.
    """
    seen = set()
    for function in functions:
        by_handle = {id(variable.handle): variable for variable in function.graph.variables}
        for handle in map(id, function.captured_inputs):
            if handle in by_handle and handle not in seen:
                seen.add(handle)
                yield by_handle[handle]


def _resources(roots: Sequence[Any]) -> Iterator[Any]:
    """The tables and assets that the roots track, without duplicates."""
    import tensorflow as tf

    holder = tf.Module()
    for number, root in enumerate(roots):
        setattr(holder, f"root_{number}", root)
    kinds = (tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)
    for found in tf.train.TrackableView(holder).descendants():
        if isinstance(found, kinds):
            yield found
