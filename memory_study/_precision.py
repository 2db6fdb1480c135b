"""What float32 means on a GPU: single precision, in convolutions too."""

from __future__ import annotations

import torch


def full_precision(device: torch.device) -> None:
    """Let float32 products and convolutions on a GPU keep all digits, from here on and in all of this process.

    From Ampere on cuDNN's default for convolutions is TF32, which rounds what it multiplies to 11 bits: errors of 5e-4,
    where a critical sample is looked for within .3/255 = 1.2e-3, and an eigenvalue to a residual of 1e-3. Source:
    https://pytorch.org/docs/stable/notes/cuda.html, "TensorFloat-32 (TF32) on Ampere (and later) devices".
    """
    if device.type != "cuda":
        return
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # torch adds it at run time
    # Off by default, but not under TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1. This sets it by torch's old and new interface, which
    # must agree: where they do not, every product raises.
    torch.set_float32_matmul_precision("highest")
