"""Executor of Pusher."""

from __future__ import annotations

import os

from prodml.artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from prodml.components.pusher import object_versions
from prodml.components.pusher.component import PushDestination
from prodml.components.pusher.copying import copy_synced
from prodml.components.pusher.versions import push_version
from prodml.dsl.executor import ExecutorContext
from prodml.errors import ModelContractError, StorageError, file_operation_error
from prodml.scan.saved_model_scan import scan
from prodml.storage.locations import is_url, join, normalized


def execute(context: ExecutorContext) -> None:
    pushed = context.output("pushed_model", PushedModel)
    refusal = _refusal(context) or _scan_refusal(context)
    if refusal is not None:
        pushed.custom_properties.update(pushed=0, reason=refusal)
        context.note(f"not pushed: {refusal}")
        return
    model = context.input("model", Model)
    source = _saved_model(context, model)
    destination = context.parameters["push_destination"]
    base = normalized((destination.filesystem or destination.model_server).base_directory)
    try:
        # The artifact's copy comes first: the rename that a server sees must be the last step.
        copy_synced(source, pushed.uri)
        push = object_versions.push_version if is_url(base) else push_version
        origin = f"{context.pipeline_name}/{context.run_id}/{context.node_id}"
        version = push(source, base, origin)
    except OSError as error:
        refused = file_operation_error(error, base)
        raise StorageError(f"nothing was pushed to {base}: {refused}") from error
    directory = join(base, str(version))
    pushed.custom_properties.update(
        pushed=1,
        pushed_destination=directory,
        pushed_version=str(version),
        pushed_model=model.final_uri or model.uri,
        pushed_model_id=model.id,
    )
    note = f"pushed version {version} to {directory}"
    if destination.model_server is not None:
        _serve(destination.model_server, version)
        address = destination.model_server.address
        pushed.custom_properties["pushed_endpoint"] = address
        note += f"; {address} serves it"
    context.note(note)
    if not {"model_blessing", "infra_blessing"} & context.declared_inputs:
        context.note(
            "pushed without a gate: the Pusher has no model_blessing and no infra_blessing, so "
            "every model is pushed"
        )


def _serve(destination: PushDestination.ModelServer, version: int) -> None:
    # Imported here because the client of model servers imports gRPC and TensorFlow's messages.
    from prodml.components.pusher.model_server import client, serve_version

    with client(destination) as server:
        serve_version(server, destination, version)


def _refusal(context: ExecutorContext) -> str | None:
    """The reason why the model must not be pushed; None if it may be pushed."""
    judges: tuple[tuple[str, type[ModelBlessing | InfraBlessing], str], ...] = (
        ("model_blessing", ModelBlessing, "Evaluator"),
        ("infra_blessing", InfraBlessing, "InfraValidator"),
    )
    for key, kind, judge in judges:
        if key not in context.declared_inputs:
            continue
        if not context.inputs.get(key):
            return f"the declared {key} is absent, and a model is not pushed without it"
        blessing = context.input(key, kind)
        if not blessing.is_blessed:
            reason = blessing.custom_properties.get("reason")
            return f"the model was not blessed by {judge}{f': {reason}' if reason else ''}"
    return None


def _scan_refusal(context: ExecutorContext) -> str | None:
    """The reason why `require_clean_scan` forbids the push; None if it does not."""
    if not context.parameters["require_clean_scan"]:
        return None
    source = _saved_model(context, context.input("model", Model))
    found = sorted({f"{each.operation} ({each.danger})" for each in scan(source)})
    if not found:
        return None
    return (
        f"the model has operations that access files, the network or Python: {', '.join(found)}; "
        f"to locate them: prodml scan {source}"
    )


def _saved_model(context: ExecutorContext, model: Model) -> str:
    """The directory to push: InfraValidator's copy with warm-up requests if there is one."""
    source = model.serving_model_dir
    infra_blessing = context.optional_input("infra_blessing", InfraBlessing)
    if infra_blessing is not None and infra_blessing.custom_properties.get("has_model") == 1:
        source = os.path.join(infra_blessing.uri, "stamped_model")
    if not os.path.isfile(os.path.join(source, "saved_model.pb")):
        raise ModelContractError(
            f"no SavedModel in {source}: saved_model.pb is missing; the model's artifact was "
            f"changed or deleted; train the model again"
        )
    return source
