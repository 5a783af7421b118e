"""Prepares a node before it runs: inputs, fingerprint and cache; the same for plans and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from prodml.artifacts import Artifact
from prodml.compiler.spec import NodeKind, NodeSpec, PipelineSpec
from prodml.dsl.executor import DriverResult
from prodml.errors import file_operation_error
from prodml.keras_choice import DEFAULT, KerasName
from prodml.metadata.reading import LineageReader
from prodml.orchestration.code import executors
from prodml.orchestration.resolve import cache, inputs
from prodml.orchestration.resolve.fingerprint import Fingerprint, fingerprint
from prodml.orchestration.resolve.keras_choices import keras_choices


@dataclass(frozen=True)
class Prepared:
    """A node with its resolved inputs, fingerprint and cached result.

    Attributes:
        hit: the cached result; None if the node must run.
        reason: why it is cached or must run.
        superseded: why the cached result is not current in the outside world (see
            `CacheVerdict`); None if it is current.
    """

    node: NodeSpec
    inputs: Mapping[str, Sequence[Artifact]]
    driver: DriverResult | None
    fingerprint: Fingerprint
    hit: cache.Hit | None
    reason: str
    superseded: str | None = None


class Preparer:
    """Resolves inputs and looks up the cache, for plans and for runs.

    Args:
        spec: the pipeline.
        reader: reads the metadata store.
        use_cache: False for `--no-cache`.
        keras: what `tf.keras` means for nodes that do not choose it themselves.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        reader: LineageReader,
        use_cache: bool,
        keras: KerasName = DEFAULT,
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._use_cache = use_cache
        self._keras = keras_choices(spec, keras)

    def prepare(self, node: NodeSpec, produced: Mapping[str, inputs.Artifacts]) -> Prepared:
        """Prepares an executor node.

        Args:
            produced: outputs of every node upstream.

        Raises:
            NodeError: an input or file of the node is missing.
        """
        resolved = inputs.resolve_inputs(node, produced)
        driver = executors.drive(node)
        found = self._found_keys(node)
        keras = self._keras.nodes.get(node.id)
        try:
            wanted = fingerprint(self._spec.name, node, resolved, driver, found, keras)
        except OSError as error:
            raise file_operation_error(error) from error
        if not self._use_cache:
            return Prepared(node, resolved, driver, wanted, None, "--no-cache")
        if not node.is_cached:
            return Prepared(node, resolved, driver, wanted, None, "caching is off for this node")
        answer = cache.look_up(self._reader, self._spec.name, node, wanted)
        if isinstance(answer, cache.Hit):
            return self._judged(
                Prepared(node, resolved, driver, wanted, answer, "nothing changed"), answer
            )
        if found and _are_own(resolved, found):
            if self._were_set_by_hand(resolved, found):
                reason = "its own input was set as the baseline by hand"
                return Prepared(node, resolved, driver, wanted, None, reason)
            hit = cache.look_up_without_resolved(self._reader, node, wanted)
            if hit is not None:
                reason = "nothing changed; the Resolver found the node's own input"
                return self._judged(Prepared(node, resolved, driver, wanted, hit, reason), hit)
        return Prepared(node, resolved, driver, wanted, None, answer.reason)

    def _judged(self, cached: Prepared, hit: cache.Hit) -> Prepared:
        """The cached node, after its driver has checked the result against the outside world."""
        verdict = executors.judge_cached(self._spec.name, cached.node, hit.outputs)
        if verdict.run_again:
            return replace(cached, hit=None, reason=verdict.run_again)
        if verdict.superseded:
            reason = f"{cached.reason}, but {verdict.superseded}"
            return replace(cached, reason=reason, superseded=verdict.superseded)
        return cached

    def _were_set_by_hand(
        self, resolved: Mapping[str, Sequence[Artifact]], found: frozenset[str]
    ) -> bool:
        """Whether the found model was set as the baseline by hand.

        Then the node's last verdict is not valid: it may be a comparison with another baseline.
        """
        ids = {artifact.id for key in found for artifact in resolved.get(key, ())}
        return self._reader.pinned_model(self._spec.name) in ids

    def _found_keys(self, node: NodeSpec) -> frozenset[str]:
        resolvers = {n.id for n in self._spec.nodes if n.kind is NodeKind.RESOLVER}
        return frozenset(
            declared.name
            for declared in node.inputs
            if declared.channels and all(c.producer in resolvers for c in declared.channels)
        )

    def find(self, node: NodeSpec) -> Mapping[str, Sequence[Artifact]]:
        """The outputs of a resolver or importer node; an importer's artifact may be new (id 0)."""
        if node.kind is NodeKind.RESOLVER:
            return inputs.find_in_store(self._reader, self._spec.name, node)
        artifact = inputs.imported_artifact(node)
        known = self._reader.external_artifact(artifact.uri, artifact.type_name)
        if known is not None and not node.parameter("reimport"):
            recorded = inputs.to_artifact(known)
            if recorded.custom_properties.get("digest") == artifact.custom_properties["digest"]:
                return {node.outputs[0].name: [recorded]}
        return {node.outputs[0].name: [artifact]}


def _are_own(resolved: Mapping[str, Sequence[Artifact]], found: frozenset[str]) -> bool:
    """Whether all artifacts that a Resolver found are also among the node's other inputs.

    This happens if a pipeline runs again unchanged: the model that it blessed last time is now the
    baseline of the same model. A comparison of the two is pointless, and the last verdict is valid.
    """
    others = {
        artifact.custom_properties.get("digest", artifact.uri)
        for key, artifacts in resolved.items()
        if key not in found
        for artifact in artifacts
    }
    ours = [a for key in found for a in resolved.get(key, ())]
    return bool(ours) and all(a.custom_properties.get("digest", a.uri) in others for a in ours)
