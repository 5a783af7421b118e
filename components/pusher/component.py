"""Declaration of Pusher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prodml.artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


@dataclass(frozen=True)
class PushDestination:
    """The destination of a push; set exactly one of the two attributes.

    Attributes:
        filesystem: a directory that a model server watches.
        model_server: a directory, and the model server that must serve the new version from it.
    """

    @dataclass(frozen=True)
    class Filesystem:
        """A directory to which each push adds a version, `<base_directory>/<version>/`.

        Attributes:
            base_directory: the directory of all versions, created if it does not exist; or its
                URL in an object store, such as `s3://models/flights`.
        """

        base_directory: str

    @dataclass(frozen=True)
    class ModelServer:
        """A model server; each push adds a version and waits until the server serves it.

        If there is a model config next to the directory (`models.config`, as `prodml rollout`
        writes it), Pusher calls the server's ModelService to serve the new version in addition to
        the versions that it already serves; no label moves. Otherwise the server finds the version
        by polling the directory.

        Attributes:
            base_directory: the directory of all versions, at the same path for the server.
            address: `host:port` of the server's gRPC endpoint.
            model_name: name of the model on the server; by default the directory's name.
            timeout_seconds: maximum time until the server serves the version.
            ca_file: trusted certificates, if the connection uses TLS.
            certificate_file: the client's certificate, if the server requires one.
            key_file: private key of the client's certificate.
        """

        base_directory: str
        address: str = "localhost:8500"
        model_name: str | None = None
        timeout_seconds: float = 120.0
        ca_file: str | None = None
        certificate_file: str | None = None
        key_file: str | None = None

    filesystem: PushDestination.Filesystem | None = None
    model_server: PushDestination.ModelServer | None = None

    def __post_init__(self) -> None:
        if (self.filesystem is None) == (self.model_server is None):
            raise ValueError("PushDestination needs exactly one of filesystem and model_server")
        if self.model_server is not None and "://" in self.model_server.base_directory:
            raise ValueError("the base_directory of a model_server must be a directory, not a URL")


class Pusher(Component):
    """Pushes a blessed model to a directory that a model server watches, or to the server itself.

    The version is the Unix time in seconds, or the highest existing version plus one if that is
    greater. It appears in one rename, so a server never loads an incomplete model. A model is not
    pushed if it is not blessed or if a declared blessing is absent; the node then succeeds, reports
    the reason, and sets `pushed` = 0 on `pushed_model`. A version that the server cannot serve is
    removed, the server continues to serve the previous version, and the node fails with the
    server's error.

    A cached push is compared with its destination. The model is pushed again if this node has
    pushed another model since (as happens when a change is reverted), or if the destination has no
    version. A newer version that another pipeline pushed or that was copied by hand, and the
    removal of a version, are reported and not changed.

    Args:
        model: the model to push.
        model_blessing: Evaluator's blessing, required if declared. If neither blessing is
            declared, the run reports that the model was pushed without a gate.
        infra_blessing: InfraValidator's blessing, required if declared. If it contains a copy of
            the model with warm-up requests, this copy is pushed.
        push_destination: destination of the push.
        require_clean_scan: whether to reject a model with operations that access files, the
            network or Python, as `prodml scan` lists them.
        push_after_failures: whether to push even if another node of the run has failed. By default
            the Pusher waits for the rest of the run, and is skipped if any node fails.
        custom_config: for executors that replace this one, which does not read it.
    """

    execution_type = "tfx.components.pusher.component.Pusher"
    needs_clean_run = True

    model: Input[Model]
    model_blessing: Input[ModelBlessing] | None = None
    infra_blessing: Input[InfraBlessing] | None = None
    push_destination: Parameter[PushDestination]
    require_clean_scan: Parameter[bool] = False
    push_after_failures: Parameter[bool] = False
    custom_config: Parameter[dict[str, Any] | None] = None
    pushed_model: Output[PushedModel]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.needs_clean_run = not self.parameters["push_after_failures"]
