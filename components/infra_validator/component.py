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
    """TF Serving's images, each of which must serve the model.

    Attributes:
        image_name: such as `tensorflow/serving`.
        tags: tags of the image, one server each.
        digests: digests of the image, such as `sha256:...`, one server each.
    """

    image_name: str = "tensorflow/serving"
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalDockerConfig:
    """How the images are run: by Docker on this machine.

    Attributes:
        docker: the docker executable.
    """

    docker: str = "docker"


@dataclass(frozen=True)
class ServingSpec:
    """The servers that must serve the model; all that are named. Where none is, prodml's own.

    Attributes:
        tensorflow_serving: images of TF Serving.
        local_docker: how they are run.
        binaries: paths of `tensorflow_model_server` executables.
        embedded: whether prodml's own server must serve it beside the others.
        model_name: name that the model is served under.
    """

    tensorflow_serving: TensorFlowServing | None = None
    local_docker: LocalDockerConfig = LocalDockerConfig()
    binaries: tuple[str, ...] = ()
    embedded: bool = False
    model_name: str = "infra-validation-model"

    def __post_init__(self) -> None:
        # It is a part of the path in the container, and of Docker's own options.
        if not is_name(self.model_name):
            raise ValueError(f"model_name {self.model_name!r}: {RULE}")


@dataclass(frozen=True)
class ValidationSpec:
    """What a server may need.

    Attributes:
        max_loading_time_seconds: from its start until the model answers.
        max_request_time_seconds: for one answer.
        max_memory_bytes: resident memory of the server with the model; None for any.
        num_tries: how often a server is started before the model is refused because it ends, hangs
            or does not load. A wrong answer is not asked for again.
    """

    max_loading_time_seconds: int = 300
    max_request_time_seconds: int = 60
    max_memory_bytes: int | None = None
    num_tries: int = 1


@dataclass(frozen=True)
class TensorFlowServingRequestSpec:
    """What is asked of the model.

    Attributes:
        signature_names: signatures to ask; `serving_default` where none is named.
        tag_set: tags of the graph to load; `serve` where none is named.
    """

    signature_names: tuple[str, ...] = ()
    tag_set: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequestSpec:
    """The requests.

    Attributes:
        tensorflow_serving: signatures and tags.
        split_name: split of the examples to take rows from; the first one where it is empty.
        num_examples: rows to send.
        make_warmup: whether the blessing keeps the model with the requests as its warm-up file,
            for Pusher to push.
    """

    tensorflow_serving: TensorFlowServingRequestSpec = TensorFlowServingRequestSpec()
    split_name: str = ""
    num_examples: int = 1
    make_warmup: bool = False


class InfraValidator(Component):
    """Serves a model in a real server, asks it, and says whether it may be pushed.

    The model is blessed where every server loads it in time and within its memory, and answers
    requests made of the examples without errors, NaN or infinity, one answer a row, as its
    signature has it. Where it is not, the node succeeds and says why, with the server's last
    words. Without examples it is loaded only.

    Args:
        model: the candidate.
        examples: what requests are made of, raw, in either payload format.
        serving_spec: the servers; prodml's own where not given.
        request_spec: the requests; one row for `serving_default` where not given.
        validation_spec: time and memory.

    Raises:
        DefinitionError: requests without examples, images without tags, or a number below 1.
    """

    execution_type = "tfx.components.infra_validator.component.InfraValidator"
    runs_beside_others = True

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
            self._refuse("has a request_spec but no examples to make requests of")
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
