"""The rules of a rollout: which version bears which label, and how labels may move.

canary:    a version is tried beside the stable one
promote:   the canary, or a named version, becomes stable
rollback:  a canary is taken back; without one, the version that was stable before is again
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from prodml.errors import RolloutError

STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class Placement:
    """Where the labels of a model stand.

    Attributes:
        stable: the version that requests should go to; None before the first promotion.
        canary: the version that is tried.
        earlier: versions that were stable before, the latest last.
    """

    stable: int | None = None
    canary: int | None = None
    earlier: tuple[int, ...] = ()

    @property
    def labels(self) -> dict[str, int]:
        """Version by label."""
        both = {STABLE: self.stable, CANARY: self.canary}
        return {label: version for label, version in both.items() if version is not None}

    @property
    def served(self) -> set[int]:
        """The versions a server keeps loaded: so that a rollback takes no loading, the version
        that would be stable after it is among them."""
        return {*self.labels.values(), *self.earlier[-1:]}


def canary(placement: Placement, version: int) -> Placement:
    """A version is tried beside the stable one.

    Raises:
        RolloutError: there is no stable version, or it is the stable one.
    """
    if placement.stable is None:
        raise RolloutError(
            "no version is stable yet, so none can be tried beside it; make one so with "
            "`prodml rollout promote`"
        )
    if version == placement.stable:
        raise RolloutError(f"version {version} is stable already; a canary is another one")
    return replace(placement, canary=version)


def promote(placement: Placement, version: int | None = None) -> Placement:
    """The canary, or a named version, becomes stable.

    Raises:
        RolloutError: there is no canary and no version is named, or it is stable already.
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
    """A canary is taken back; without one, the last usable version that was stable before is so
    again. What was rolled back is not kept for a later rollback.

    Args:
        placement: where the labels stand.
        is_usable: whether a version can be served: is there, and is not known as not blessed.
        version: the version to go back to, whatever was before.

    Raises:
        RolloutError: there is nothing to go back to.
    """
    if version is None and placement.canary is not None:
        return replace(placement, canary=None)
    if version is not None:
        if version == placement.stable:
            raise RolloutError(f"version {version} is stable already")
        if not is_usable(version):
            raise RolloutError(f"version {version} is not there, or was not blessed")
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
