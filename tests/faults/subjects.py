"""The pipelines that are killed."""

from __future__ import annotations

import shutil
from pathlib import Path

from faults.sweep import Subject, Trial

SMALL = Subject(
    arguments=["small_pipeline.py"],
    outputs={
        "MakeSchema.schema": 1,
        "MakeSchema.notes": 1,
        "Train.model": 1,
        "Judge.blessing": 1,
        "Pusher.pushed_model": 1,
    },
    serving="serving",
    random_seconds=1.6,
)


def small_trial(root: Path) -> Trial:
    shutil.copy(Path(__file__).with_name("small_pipeline.py"), root)
    return Trial(SMALL, root)
