"""What the machines that a cluster file may name have: CPUs and GPUs, as the vendors' pages list them (November 2026).

The autoscaler plans with what a file claims, and never compares it with the machine.
"""

from __future__ import annotations

MACHINES: dict[str, tuple[int, int]] = {
    # Amazon EC2
    "m7i.xlarge": (4, 0),
    "m7i.2xlarge": (8, 0),
    "g4dn.xlarge": (4, 1),
    "g4dn.12xlarge": (48, 4),
    "g5.xlarge": (4, 1),
    "g5.12xlarge": (48, 4),
    "g6.xlarge": (4, 1),
    "g6.2xlarge": (8, 1),
    "g6.12xlarge": (48, 4),
    "g6.48xlarge": (192, 8),
    "g6e.xlarge": (4, 1),
    "g6e.12xlarge": (48, 4),
    "p4d.24xlarge": (96, 8),
    "p5.4xlarge": (16, 1),
    "p5.48xlarge": (192, 8),
    "p5en.48xlarge": (192, 8),
    # Google Compute Engine
    "n2-standard-4": (4, 0),
    "n2-standard-8": (8, 0),
    "g2-standard-4": (4, 1),
    "g2-standard-24": (24, 2),
    "g2-standard-96": (96, 8),
    "a2-highgpu-1g": (12, 1),
    "a2-ultragpu-1g": (12, 1),
    "a3-highgpu-1g": (26, 1),
    "a3-highgpu-8g": (208, 8),
    # Azure
    "Standard_D4s_v5": (4, 0),
    "Standard_D8s_v5": (8, 0),
    "Standard_NC4as_T4_v3": (4, 1),
    "Standard_NC24ads_A100_v4": (24, 1),
    "Standard_NC48ads_A100_v4": (48, 2),
    "Standard_NC96ads_A100_v4": (96, 4),
    "Standard_NC40ads_H100_v5": (40, 1),
    "Standard_NC80adis_H100_v5": (80, 2),
    "Standard_ND96isr_H100_v5": (96, 8),
}
