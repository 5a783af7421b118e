"""Sets or resets the baseline, the model that candidates are compared with."""

from __future__ import annotations

from prodml.errors import NotFoundError
from prodml.metadata.reading import LineageReader
from prodml.metadata.release_writing import ReleaseWriter
from prodml.metadata.store import Store


def set_baseline(store: Store, pipeline: str, model_id: int, who: str, why: str) -> None:
    """Records a model as the baseline of a pipeline, until it is reset.

    Raises:
        NotFoundError: the pipeline has no such live model.
    """
    models = LineageReader(store).newest_artifacts(pipeline, "Model")
    if not any(model.id == model_id for model in models):
        raise NotFoundError(
            f"pipeline {pipeline!r} has no live model {model_id}; "
            f"`prodml artifacts --type Model` lists them"
        )
    ReleaseWriter(store).record_baseline(pipeline, "set", model_id, who, why)


def reset_baseline(store: Store, pipeline: str, who: str, why: str) -> None:
    """Records that the latest blessed model is the baseline again.

    Raises:
        NotFoundError: the pipeline does not exist.
    """
    known = LineageReader(store).pipelines()
    if pipeline not in known:
        raise NotFoundError(f"there is no pipeline {pipeline!r}; pipelines: {', '.join(known)}")
    ReleaseWriter(store).record_baseline(pipeline, "reset", 0, who, why)
