"""What the machines that a cluster file may name have, as the vendors' pages list them (November 2026).

The autoscaler plans with what a file claims, and sweeps with the GPU that it names; neither is compared with the machine.
"""

from __future__ import annotations

# CPUs, GPUs and their type, by the name of sweeps/_cost.py where that has it.
MACHINES: dict[str, tuple[int, int, str]] = {
    # Amazon EC2
    "m7i.xlarge": (4, 0, ""),
    "m7i.2xlarge": (8, 0, ""),
    "g4dn.xlarge": (4, 1, "T4"),
    "g4dn.12xlarge": (48, 4, "T4"),
    "g5.xlarge": (4, 1, "A10G"),
    "g5.12xlarge": (48, 4, "A10G"),
    "g6.xlarge": (4, 1, "L4"),
    "g6.2xlarge": (8, 1, "L4"),
    "g6.12xlarge": (48, 4, "L4"),
    "g6.48xlarge": (192, 8, "L4"),
    "g6e.xlarge": (4, 1, "L40S"),
    "g6e.12xlarge": (48, 4, "L40S"),
    "p4d.24xlarge": (96, 8, "A100-40"),
    "p5.4xlarge": (16, 1, "H100"),
    "p5.48xlarge": (192, 8, "H100"),
    "p5en.48xlarge": (192, 8, "H200"),
    # Google Compute Engine
    "n2-standard-4": (4, 0, ""),
    "n2-standard-8": (8, 0, ""),
    "g2-standard-4": (4, 1, "L4"),
    "g2-standard-24": (24, 2, "L4"),
    "g2-standard-96": (96, 8, "L4"),
    "a2-highgpu-1g": (12, 1, "A100-40"),
    "a2-ultragpu-1g": (12, 1, "A100-80"),
    "a3-highgpu-1g": (26, 1, "H100"),
    "a3-highgpu-8g": (208, 8, "H100"),
    # Azure
    "Standard_D4s_v5": (4, 0, ""),
    "Standard_D8s_v5": (8, 0, ""),
    "Standard_NC4as_T4_v3": (4, 1, "T4"),
    "Standard_NC24ads_A100_v4": (24, 1, "A100-80"),
    "Standard_NC48ads_A100_v4": (48, 2, "A100-80"),
    "Standard_NC96ads_A100_v4": (96, 4, "A100-80"),
    "Standard_NC40ads_H100_v5": (40, 1, "H100"),
    "Standard_NC80adis_H100_v5": (80, 2, "H100"),
    "Standard_ND96isr_H100_v5": (96, 8, "H100"),
}
