"""Declaration of InfraValidator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prodml.artifacts import Examples, InfraBlessing, Model
from prodml.dsl.component import Component
from prodml.dsl.signature import Input, Output, Parameter
from prodml.names import RULE, is_name


@dataclass(frozen=True)
class TensorFlowServing:
    """TF Serving images; the model must be served by each of them.

    Attributes:
        image_name: name of the image, such as `tensorflow/serving`.
        tags: tags of the image; one server is started per tag.
        digests: digests of the image, such as `sha256:...`; one server is started per digest.
    """

    image_name: str = "tensorflow/serving"
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalDockerConfig:
    """Runs the images with Docker on this machine.

    Attributes:
        docker: name or path of the docker executable.
    """

    docker: str = "docker"


@dataclass(frozen=True)
class ServingSpec:
    """The servers that must all serve the model; prodml's own server if none is listed.

    Attributes:
        tensorflow_serving: images of TF Serving.
        local_docker: Docker settings for these images.
        binaries: paths of `tensorflow_model_server` executables.
        embedded: whether prodml's own server must serve the model in addition to the others.
        model_name: name that the model is served under.
    """

    tensorflow_serving: TensorFlowServing | None = None
    local_docker: LocalDockerConfig = LocalDockerConfig()
    binaries: tuple[str, ...] = ()
    embedded: bool = False
    model_name: str = "infra-validation-model"

    def __post_init__(self) -> None:
        # The name becomes part of a path in the container and of Docker's options.
        if not is_name(self.model_name):
            raise ValueError(f"model_name {self.model_name!r}: {RULE}")


@dataclass(frozen=True)
class ValidationSpec:
    """Limits of time and memory for each server.

    Attributes:
        max_loading_time_seconds: maximum time from the server's start until the model is available.
        max_request_time_seconds: maximum time for one response.
        max_memory_bytes: maximum resident memory of the server with the model; None for no limit.
        num_tries: maximum number of times that a server is started if it exits, hangs or does not
            load the model. A wrong response is not retried.
    """

    max_loading_time_seconds: int = 300
    max_request_time_seconds: int = 60
    max_memory_bytes: int | None = None
    num_tries: int = 1


@dataclass(frozen=True)
class TensorFlowServingRequestSpec:
    """Signatures to call and tags of the graph to load.

    Attributes:
        signature_names: signatures to call; `serving_default` by default.
        tag_set: tags of the graph to load; `serve` by default.
    """

    signature_names: tuple[str, ...] = ()
    tag_set: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequestSpec:
    """The requests to send to the model.

    Attributes:
        tensorflow_serving: signatures and tags.
        split_name: split of the examples to read rows from; the first split if empty.
        num_examples: number of rows to send in each request.
        make_warmup: whether to store a copy of the model in the blessing, with the requests as its
            warm-up file. Pusher then pushes this copy.
    """

    tensorflow_serving: TensorFlowServingRequestSpec = TensorFlowServingRequestSpec()
    split_name: str = ""
    num_examples: int = 1
    make_warmup: bool = False


class InfraValidator(Component):
    """Serves a model in a real server, sends it requests, and decides whether it may be pushed.

    The model is blessed if every server loads it within the limits of time and memory, and answers
    requests built from the examples as the signature declares: without errors, NaN or infinity,
    and with one result per row. If the model is not blessed, the node succeeds and reports the
    reason with the last lines of the server's log. Without examples the model is only loaded.

    Args:
        model: the candidate model.
        examples: raw examples to build requests from, in either payload format.
        serving_spec: the servers; prodml's own server by default.
        request_spec: the requests; one row to `serving_default` by default.
        validation_spec: limits of time and memory.

    Raises:
        DefinitionError: request_spec is set without examples, an image has neither tags nor
            digests, or a number is below 1.
    """

    execution_type = "tfx.components.infra_validator.component.InfraValidator"
    is_thread_safe = True

    model: Input[Model]
    examples: Input[Examples] | None = None
    serving_spec: Parameter[ServingSpec] = ServingSpec()
    request_spec: Parameter[RequestSpec | None] = None
    validation_spec: Parameter[ValidationSpec] = ValidationSpec()
    blessing: Output[InfraBlessing]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        spec = self.parameters["request_spec"]
        if spec is not None and "examples" not in self.inputs:
            self._refuse("has a request_spec but no examples to build requests from")
        images = self.parameters["serving_spec"]["tensorflow_serving"]
        if images is not None and not images["tags"] and not images["digests"]:
            self._refuse("names an image without tags or digests, such as tags=['2.16.1']")
        numbers = {**self.parameters["validation_spec"], **(spec or {})}
        for name in (
            "max_loading_time_seconds",
            "max_request_time_seconds",
            "max_memory_bytes",
            "num_tries",
            "num_examples",
        ):
            if (number := numbers.get(name)) is not None and number < 1:
                self._refuse(f"has {name}={number}; it must be at least 1")
