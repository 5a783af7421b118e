"""The rules of a rollout: which version has which label, and how labels may move.

canary:    a version is tried beside the stable one
promote:   the canary, or a named version, becomes stable
rollback:  the canary is removed; without a canary, the previous stable version becomes stable again
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from prodml.errors import RolloutError

STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class Placement:
    """The versions that a model's labels point to.

    Attributes:
        stable: the version for production requests; None before the first promotion.
        canary: the version that is being tried; None if there is no canary.
        earlier: versions that were stable before, the latest last.
    """

    stable: int | None = None
    canary: int | None = None
    earlier: tuple[int, ...] = ()

    @property
    def labels(self) -> dict[str, int]:
        """The versions by label."""
        both = {STABLE: self.stable, CANARY: self.canary}
        return {label: version for label, version in both.items() if version is not None}

    @property
    def served(self) -> set[int]:
        """The versions that a server keeps loaded, including the one that a rollback would make
        stable, so that a rollback need not load it."""
        return {*self.labels.values(), *self.earlier[-1:]}


def canary(placement: Placement, version: int) -> Placement:
    """Makes a version the canary.

    Raises:
        RolloutError: there is no stable version, or the version is the stable one.
    """
    if placement.stable is None:
        raise RolloutError(
            "no version is stable yet, and a canary needs a stable version beside it; make a "
            "version stable with `prodml rollout promote`"
        )
    if version == placement.stable:
        raise RolloutError(f"version {version} is stable already; choose another one as canary")
    return replace(placement, canary=version)


def promote(placement: Placement, version: int | None = None) -> Placement:
    """Makes the canary, or a named version, stable.

    Raises:
        RolloutError: there is no canary and no version is named, or the version is already stable.
    """
    target = placement.canary if version is None else version
    if target is None:
        raise RolloutError(
            "there is no canary to promote; try one with `prodml rollout canary`, or name a "
            "version with --version"
        )
    if target == placement.stable:
        raise RolloutError(f"version {target} is stable already")
    earlier = [each for each in placement.earlier if each != target]
    if placement.stable is not None:
        earlier.append(placement.stable)
    return Placement(stable=target, earlier=tuple(earlier))


def rollback(
    placement: Placement, is_usable: Callable[[int], bool], version: int | None = None
) -> Placement:
    """Removes the canary; without a canary, makes the last usable earlier stable version stable
    again. A later rollback does not return to the version that was rolled back.

    Args:
        placement: the current placement of the labels.
        is_usable: whether a version can be served: it exists and is not known as not blessed.
        version: the version to go back to, regardless of the history.

    Raises:
        RolloutError: there is no version to go back to.
    """
    if version is None and placement.canary is not None:
        return replace(placement, canary=None)
    if version is not None:
        if version == placement.stable:
            raise RolloutError(f"version {version} is stable already")
        if not is_usable(version):
            raise RolloutError(f"version {version} does not exist or was not blessed")
        target = version
    else:
        usable = [each for each in placement.earlier if is_usable(each)]
        if not usable:
            raise RolloutError(
                "there is no blessed version to go back to: none that was stable before is still "
                "there; name one with --version"
            )
        target = usable[-1]
    cut = placement.earlier.index(target) if target in placement.earlier else 0
    return Placement(stable=target, earlier=placement.earlier[:cut])
