"""What sweeps over noise share: kinds and levels, and the settings that they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memory_study.config import CORRUPTIONS, ConfigError
from sweeps import _options
from sweeps._flags import known, number, option, words_of

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

corruption = known(*CORRUPTIONS[1:])
"""A kind of noise, from a word of the command line."""


@dataclass(frozen=True, kw_only=True)
class Options(_options.Options):
    """Every kind of noise at every level; level 0 is the real data, once for all kinds."""

    corruptions: tuple[str, ...] = option(
        ("randX", "randY"), "kinds of noise: randX (inputs), randY (labels)", words_of(corruption), "KIND ..."
    )
    levels: tuple[float, ...] = option(
        LEVELS, "shares of the training set that are corrupted", words_of(number), "X ..."
    )


def settings(options: Options) -> Iterator[dict[str, object]]:
    """The fields ``corruption`` and ``corruption_level`` of each setting, by kind and then level; real data first.

    Raises ConfigError for a level that is not a fraction.
    """
    wrong = [level for level in options.levels if not 0 <= level <= 1]
    if wrong:
        raise ConfigError([f"--levels {level:g} is not a fraction; use 0 <= level <= 1" for level in wrong])
    if 0 in options.levels:
        yield {"corruption": "none", "corruption_level": 0.0}
    for kind in options.corruptions:
        for level in sorted(set(options.levels) - {0.0}):
            yield {"corruption": kind, "corruption_level": level}
