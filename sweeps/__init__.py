"""Questions asked of the science: each plain file here is one sweep, run as ``python -m sweeps.<name>``."""
