"""Randomness with a name. No global seed, no position in a list or a stack."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, purpose: str, *position: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one purpose, such as ``stream(3, "dropout 1", epoch)``.

    The same name gives the same draws whatever else was drawn before. Draws on CUDA differ from those on the CPU, so
    whatever a trial's id promises (data set, corruption, initial weights, batches) is drawn on the CPU.
    """
    name = "/".join(map(str, (seed, purpose, *position)))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
    return torch.Generator(device=device).manual_seed(key)
