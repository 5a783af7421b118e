"""Writes a model of either Keras so that a model server can answer with it.

User modules import this file, so it imports nothing heavy, and nothing of prodml: a module file
runs under TFX with a copy of it.
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
    """Writes a SavedModel with the signatures given, that loads in a session as in TF Serving.

    It holds the variables that the signatures use, and the tables and assets of the model and the
    resources. It does not hold the Keras model itself: `tf.saved_model.save` of a Keras 3 model
    stores its variables twice, and a model server restores those that no signature uses. To train
    further from it, save the model's weights, too.

    Args:
        model: a model of Keras 2 or Keras 3, or any callable.
        directory: where to write, usually `fn_args.serving_model_dir`.
        feature_spec: as `tf.io.parse_example` takes it. With it, `serving_default` takes
            `examples`, serialized tf.Examples of shape [batch], and gives the model's output by
            its names; as `outputs` if it is one tensor.
        transform: makes the model's inputs of the parsed features, such as
            `tft.TFTransformOutput(...).transform_features_layer()`. Features that the model has no
            input for are left out.
        signatures: further signatures by name: each a `tf.function` with an `input_signature`, or
            a concrete function.
        resources: what the signatures use beside the model and `transform` that has tables or
            assets, such as a lookup layer.

    Raises:
        ValueError: there is no signature, or it has no fixed inputs.
    """
    import tensorflow as tf

    functions = dict(signatures or {})
    if feature_spec is not None:
        functions["serving_default"] = _parsing(model, feature_spec, transform)
    if not functions:
        raise ValueError(
            "export_model was given no signature; name what a request holds by feature_spec=..., "
            "or give signatures={'serving_default': ...}"
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
        answer = model(features)
        return answer if isinstance(answer, dict) else {"outputs": answer}

    return tf.function(
        serve, input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False
    )


def _traced(name: str, function: Any) -> Any:
    if not hasattr(function, "get_concrete_function"):
        # A concrete function already.
        return function
    try:
        return function.get_concrete_function()
    except TypeError as error:
        raise ValueError(
            f"signature {name!r} has no fixed inputs; decorate it with "
            f"@tf.function(input_signature=[tf.TensorSpec(...)])"
        ) from error


def _variables(functions: Any) -> Iterator[Any]:
    """Each variable that a function uses, once, in the order of their first use.

    `graph.variables` is in another order each time, and the files written would differ.
    """
    seen = set()
    for function in functions:
        by_handle = {id(variable.handle): variable for variable in function.graph.variables}
        for handle in map(id, function.captured_inputs):
            if handle in by_handle and handle not in seen:
                seen.add(handle)
                yield by_handle[handle]


def _resources(roots: Sequence[Any]) -> Iterator[Any]:
    """The tables and assets that hang on what is tracked, once each."""
    import tensorflow as tf

    holder = tf.Module()
    for number, root in enumerate(roots):
        setattr(holder, f"root_{number}", root)
    kinds = (tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)
    for found in tf.train.TrackableView(holder).descendants():
        if isinstance(found, kinds):
            yield found
