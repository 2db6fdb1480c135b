"""What a search chooses from: how strong each kind of regularizer is, or that it is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memory_study import regularizers

WITHOUT = -2.0
"""A kind's position is uniform from here to 1, and below 0 the kind is left out: two times of three, so that a random
setting of nine kinds combines three, and one in forty has none."""

DECADES = 10.0
"""A grid whose ends are farther apart than this factor is logarithmic."""


def known_kind(text: str) -> str:
    """A kind of regularizer. Raises ValueError, naming the known ones, for any other."""
    regularizers.find(text)
    return text


def strength(kind: str, position: float) -> float:
    """That at a ``position`` from 0, the weakest of the kind's grid, to 1, the strongest. Three figures: it is read.

    Half way is the middle of the logarithms where the grid spans decades.
    """
    grid = regularizers.find(kind).grid
    low, high = min(grid), max(grid)
    logarithmic = high / low > DECADES
    value = low * (high / low) ** position if logarithmic else low + (high - low) * position
    return min(max(float(f"{value:.3g}"), low), high)


def setting(positions: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The regularizers that positions of kinds make: strengths, by kind."""
    return tuple((kind, strength(kind, at)) for kind, at in sorted(positions.items()) if at >= 0)


def bounds(kinds: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Weakest and strongest of each kind: what a search must not go on with once they change."""
    return {kind: (min(regularizers.find(kind).grid), max(regularizers.find(kind).grid)) for kind in kinds}


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points that no other beats, by their first coordinate: none has it at most as large and the second at
    least as large, unless it is equal. Of equal points the first.
    """
    best, chosen = float("-inf"), []
    for place in sorted(range(len(points)), key=lambda p: (points[p][0], -points[p][1], p)):
        if points[place][1] > best:
            best = points[place][1]
            chosen.append(place)
    return chosen


def spread(places: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of them, evenly, both ends included."""
    if len(places) <= most:
        return list(places)
    if most == 1:
        return [places[len(places) // 2]]
    return [places[round(step * (len(places) - 1) / (most - 1))] for step in range(most)]
