"""A trial's identity: a hash of its canonical config. Standard library only.

Two configs have one id exactly when they describe one trial. Adding a field keeps old ids, because a field equal to
its frozen ``absent`` value is left out of the hash; changing a field's default never aliases two trials, because
``absent`` is not the default; a change of what the code *does* bumps ``SEMANTICS``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

SEMANTICS = 1
"""Version of what a config *means*. Bump it when the same config would now train differently."""

Value = str | int | float | bool | tuple[int, ...] | tuple[str, ...] | tuple[tuple[str, float], ...]
"""What a config field may hold."""


def trial_id(fields: Mapping[str, Value], absent: Mapping[str, Value], semantics: int = SEMANTICS) -> str:
    """Sixteen hexadecimal digits naming the trial that ``fields`` describe.

    ``absent`` maps a field to the value that older code, which did not know the field, behaved as. Raises ValueError
    for a number that is not finite, because it has no canonical form.
    """
    kept = {name: _canonical(value) for name, value in fields.items() if absent.get(name, ...) != value}
    text = json.dumps({"semantics": semantics, "config": kept}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_text(value: Value) -> str:
    """The text a config value has as an MLflow parameter: ``0.5``, ``dropout=0.5,adversarial=0.2``, ``1,2,4``, ``none``."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return (
                ",".join(f"{item[0]}={item[1]!r}" if isinstance(item, tuple) else str(item) for item in value)
                or "none"
            )
        case float():
            return repr(value)
        case _:
            return str(value)


def parse_strengths(text: str) -> dict[str, float]:
    """Inverse of :func:`to_text` for regularizer strengths. Raises ValueError on anything else, naming the text."""
    if text in ("", "none"):
        return {}
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return {name.strip(): float(strength) for name, _, strength in pairs}
    except ValueError:
        raise ValueError(
            f"{text!r} is not a list of strengths; write it as dropout=0.5,adversarial=0.2"
        ) from None


def parse_integers(text: str) -> tuple[int, ...]:
    """Inverse of :func:`to_text` for epochs. Raises ValueError on anything else, naming the text."""
    try:
        return () if text in ("", "none") else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not a list of whole numbers; write it as 1,2,4") from None


def _canonical(value: Any) -> Any:
    """JSON in which equal trials are equal text: 1, 1.0 and True stay apart only where their field's type does."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not finite, so it cannot be part of a trial's config")
        return repr(value)
    if isinstance(value, tuple):
        return [_canonical(item) for item in value]
    return value
