"""The strategies that ship with prodml; the names are TFX's."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from prodml.artifacts import Artifact
from prodml.dsl.resolution import Candidates
from prodml.errors import ResolutionError


class LatestArtifactStrategy:
    """Selects the newest artifacts of each channel.

    Args:
        desired_num_of_artifacts: maximum number of artifacts per channel, newest first.
    """

    def __init__(self, desired_num_of_artifacts: int = 1) -> None:
        self._number = desired_num_of_artifacts

    def resolve(self, keys: list[str], candidates: Candidates) -> Mapping[str, list[Artifact]]:
        return {key: list(islice(candidates.newest(key), self._number)) for key in keys}


class LatestBlessedModelStrategy:
    """Selects the latest blessed model, or the model that `prodml baseline set` chose.

    Needs one channel of Model and one of ModelBlessing, and resolves one artifact of each, or none
    if no model is blessed yet. A chosen model need not be blessed; if it was never evaluated, it
    is resolved without a blessing.

    Raises:
        ResolutionError: the chosen model no longer exists. Without a baseline model, the run would
            check no change threshold.
    """

    def resolve(self, keys: list[str], candidates: Candidates) -> Mapping[str, list[Artifact]]:
        model_key = next(key for key in keys if candidates.type_name(key) == "Model")
        blessing_key = next(key for key in keys if key != model_key)
        pinned = candidates.pinned_model()
        for blessing in candidates.newest(blessing_key):
            model_id = int(blessing.custom_properties.get("current_model_id", 0))
            if pinned is not None and model_id != pinned:
                continue
            if blessing.custom_properties.get("blessed") != 1 and pinned is None:
                continue
            model = candidates.by_id(model_key, model_id)
            if model is not None:
                return {model_key: [model], blessing_key: [blessing]}
        if pinned is None:
            return {key: [] for key in keys}
        chosen = candidates.by_id(model_key, pinned)
        if chosen is None:
            raise ResolutionError(
                f"model {pinned}, which `prodml baseline set` chose, no longer exists; set another "
                f"model, or return to the latest blessed model with `prodml baseline reset`"
            )
        return {model_key: [chosen], blessing_key: []}


class LatestValidatedStatisticsStrategy:
    """Selects the latest statistics that passed ExampleValidator, to measure drift.

    Needs one channel of ExampleStatistics and one of ExampleAnomalies, and resolves statistics
    together with their anomalies. Statistics on which an ExampleValidator failed are skipped,
    because it then publishes no anomalies.

    Args:
        desired_num_of_artifacts: maximum number of artifacts per channel, newest first. The default
            is two because a repeated run finds the statistics that it validates as the newest.
    """

    def __init__(self, desired_num_of_artifacts: int = 2) -> None:
        self._number = desired_num_of_artifacts

    def resolve(self, keys: list[str], candidates: Candidates) -> Mapping[str, list[Artifact]]:
        statistics_key = next(k for k in keys if candidates.type_name(k) == "ExampleStatistics")
        anomalies_key = next(k for k in keys if candidates.type_name(k) == "ExampleAnomalies")
        found: dict[int, tuple[Artifact, Artifact]] = {}
        for anomalies in candidates.newest(anomalies_key):
            if len(found) == self._number:
                break
            statistics_id = int(anomalies.custom_properties.get("statistics_id", 0))
            statistics = candidates.by_id(statistics_key, statistics_id)
            if statistics is not None:
                found.setdefault(statistics_id, (statistics, anomalies))
        return {
            statistics_key: [statistics for statistics, _ in found.values()],
            anomalies_key: [anomalies for _, anomalies in found.values()],
        }
