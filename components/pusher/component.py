"""Declaration of Pusher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prodml.artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter


@dataclass(frozen=True)
class PushDestination:
    """Where a model is pushed to; one of the two.

    Attributes:
        filesystem: a directory that a model server watches.
        model_server: such a directory, and the server that is to answer with the new version.
    """

    @dataclass(frozen=True)
    class Filesystem:
        """Every push adds one directory, `<base_directory>/<version>/`.

        Attributes:
            base_directory: the directory of all versions, made where it does not exist; or its
                URL in an object store, such as `s3://models/flights`.
        """

        base_directory: str

    @dataclass(frozen=True)
    class ModelServer:
        """Every push adds a version to a directory, and returns when the server answers with it.

        Where a model config stands beside the directory (`models.config`, as `prodml rollout`
        writes it), the server is told by ModelService to serve the new version beside those that
        it serves; no label moves. Otherwise the server finds it by polling the directory.

        Attributes:
            base_directory: the directory of all versions, as the server sees it, too.
            address: `host:port` of the server's gRPC.
            model_name: the model's name at the server; by default the directory's.
            timeout_seconds: how long the version may take to answer.
            ca_file: certificates to trust where the connection is secured by TLS.
            certificate_file: the client's own certificate, where the server asks for one.
            key_file: its private key.
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
            raise ValueError("PushDestination takes one of filesystem and model_server")
        if self.model_server is not None and "://" in self.model_server.base_directory:
            raise ValueError("the base_directory of a model_server is a directory, not a URL")


class Pusher(Component):
    """Pushes a blessed model to a directory that a model server watches, or to the server itself.

    The version is the time in Unix seconds, or one more than the highest version there, and
    appears by one rename: a server never sees half a model. A model that is not blessed, or whose
    declared blessing is absent, is not pushed; the node succeeds and says why, and `pushed_model`
    carries `pushed` = 0. A version that a server cannot serve is taken away again, the server goes
    on with the one before, and the node fails with the server's reason.

    A cached push is compared with its destination: where this node has pushed another model since,
    as before a revert, or no version is left, the model is pushed again. A newer version
    from another pipeline or by hand, and the removal of a version, are reported and left alone.

    Args:
        model: the model.
        model_blessing: Evaluator's verdict; where it is not declared, none is asked for, and
            without both blessings the run says that the push had no gate.
        infra_blessing: InfraValidator's verdict, likewise; the model that it holds with its
            warm-up requests is pushed instead, where there is one.
        push_destination: where to.
        require_clean_scan: refuse a model that has operations that touch files, the network or
            Python, as `prodml scan` lists them.
        push_after_failures: push although another node of the run has failed. By default the
            Pusher waits for the rest of the run, and is skipped if anything in it fails.
        custom_config: for a Pusher of one's own; this one does not read it.
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
