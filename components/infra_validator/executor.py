"""Executor of InfraValidator."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence

from tensorflow_serving.apis import prediction_log_pb2

from prodml.artifacts import Examples, InfraBlessing, Model
from prodml.components.infra_validator.component import RequestSpec, ServingSpec
from prodml.components.infra_validator.requests import read_rows
from prodml.components.infra_validator.validation import Candidate, validate
from prodml.components.pusher.copying import copy_synced
from prodml.dsl.executor import ExecutorContext
from prodml.serving.models.warm_up import write_warm_up_requests
from prodml.serving.processes.server_launchers import Binary, DockerImage, Embedded, ServerLauncher

STAMPED_MODEL = "stamped_model"
"""Directory in the blessing with the copy of the model and its warm-up requests; TFX's name."""


def execute(context: ExecutorContext) -> None:
    model = context.input("model", Model)
    examples = context.optional_input("examples", Examples)
    serving: ServingSpec = context.parameters["serving_spec"]
    requests: RequestSpec = context.parameters["request_spec"] or RequestSpec()
    base_path = os.path.join(context.tmp_dir, "served")
    shutil.copytree(
        model.serving_model_dir, os.path.join(base_path, "1"), copy_function=_link_or_copy
    )
    candidate = Candidate(
        serving.model_name,
        base_path,
        None if examples is None else read_rows(examples, requests),
        requests,
        context.parameters["validation_spec"],
        context.tmp_dir,
    )
    refusal, answered, passed = "", (), []
    for launcher in _launchers(serving):
        finding = validate(launcher, candidate)
        if finding.refusal:
            refusal = f"{launcher}: {finding.refusal}"
            context.note(_refused(refusal, finding.log_tail))
            break
        passed.append(str(launcher))
        answered = tuple(finding.answered)
    if not refusal:
        context.note(f"blessed: {_passed(passed, len(answered))}")
    _bless(context, refusal or _passed(passed, len(answered)), not refusal)
    if requests.make_warmup and answered and not refusal:
        _stamp(context, model, answered)


def _launchers(serving: ServingSpec) -> Iterator[ServerLauncher]:
    images = serving.tensorflow_serving
    if serving.embedded or (images is None and not serving.binaries):
        yield Embedded()
    for path in serving.binaries:
        yield Binary(path)
    if images is not None:
        docker = serving.local_docker.docker
        for tag in images.tags:
            yield DockerImage(f"{images.image_name}:{tag}", docker)
        for digest in images.digests:
            yield DockerImage(f"{images.image_name}@{digest}", docker)


def _bless(context: ExecutorContext, reason: str, is_blessed: bool) -> None:
    blessing = context.output("blessing", InfraBlessing)
    name = "INFRA_BLESSED" if is_blessed else "INFRA_NOT_BLESSED"
    with open(os.path.join(blessing.uri, name), "wb"):
        pass
    blessing.custom_properties.update(blessed=int(is_blessed), reason=reason)


def _stamp(
    context: ExecutorContext, model: Model, answered: Sequence[prediction_log_pb2.PredictionLog]
) -> None:
    """Copies the model into the blessing, with the answered requests as warm-up requests."""
    blessing = context.output("blessing", InfraBlessing)
    stamped = os.path.join(blessing.uri, STAMPED_MODEL)
    copy_synced(model.serving_model_dir, stamped)
    write_warm_up_requests(stamped, [_request_only(each) for each in answered])
    blessing.custom_properties["has_model"] = 1


def _request_only(answered: prediction_log_pb2.PredictionLog) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.CopyFrom(answered)
    getattr(log, log.WhichOneof("log_type")).ClearField("response")
    return log


def _passed(servers: Sequence[str], requests: int) -> str:
    what = f"answered {requests} request(s) as its signatures declare" if requests else "was loaded"
    return f"{what} in {', '.join(servers)}"


def _refused(refusal: str, log_tail: str) -> str:
    note = f"not blessed: {refusal}"
    if not log_tail:
        return note
    indented = "\n".join(f"  {line}" for line in log_tail.splitlines())
    return f"{note}\nthe last lines of the server's log:\n{indented}"


def _link_or_copy(source: str, target: str) -> None:
    """Hard-links a file, or copies it: symbolic links do not resolve in a Docker mount."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
