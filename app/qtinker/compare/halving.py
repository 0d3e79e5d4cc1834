"""Successive halving: who is stopped early. Torch-free, and the same figures always give the same decision.

Candidates train side by side up to a quarter of their steps, then up to half; after each, those that are far behind
stop (Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943, where the worse half stops). The plain rule would
stop every small model, since the large ones answer better; here a candidate is only behind one that costs no more: no
more bytes and no more operations an example. Costs follow from the shapes, not from a clock, so that a resumed sweep
decides as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SHARES = (0.25, 0.5)
"""After which shares of the training candidates are compared."""
FEWEST = 4
"""With fewer candidates none is stopped: there is little to save."""
MARGIN = 0.01


@dataclass(frozen=True)
class Standing:
    """How a candidate stands after a part of its training. `score` is None where its answers are not trained yet (the
    first stage of feature and relations): it stays."""

    id: str
    score: float | None
    parameters: int
    operations: float


@dataclass(frozen=True)
class Stop:
    """A candidate is stopped: behind which other, and by how much."""

    id: str
    behind: str
    by: float


def margin(score: float, examples: int) -> float:
    """What counts as far behind: two standard errors of a share measured on so many examples, at least a point."""
    share = min(max(score, 0.0), 1.0)
    return max(MARGIN, 2 * math.sqrt(share * (1 - share) / max(examples, 1)))


def decide(standings: Sequence[Standing], *, examples: int, by_score_alone: bool = False) -> list[Stop]:
    """Who stops now: at most half, the furthest behind first.

    Args:
        examples: on how many the scores were measured.
        by_score_alone: for a search whose candidates all fit: then the cheaper one has no advantage.
    """
    judged = [one for one in standings if one.score is not None]
    stops = []
    for one in judged:
        assert one.score is not None
        rivals = [
            other for other in judged
            if other.id != one.id and (by_score_alone or (
                other.parameters <= one.parameters and other.operations <= one.operations * 1.01))
        ]  # fmt: skip
        if not rivals:
            continue
        best = max(rivals, key=lambda other: (other.score or 0.0, other.id))
        gap = (best.score or 0.0) - one.score
        if gap > margin(best.score or 0.0, examples):
            stops.append(Stop(one.id, best.id, gap))
    stops.sort(key=lambda stop: (-stop.by, stop.id))
    return stops[: len(standings) // 2]


def affordable(seconds_left: Sequence[tuple[str, float]], budget: float) -> list[str]:
    """Ids of the candidates that can be finished in the budget, taken in the given order; the first always is."""
    kept, spent = [], 0.0
    for number, (name, seconds) in enumerate(seconds_left):
        if number and spent + seconds > budget:
            continue
        kept.append(name)
        spent += seconds
    return kept
