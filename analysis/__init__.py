"""Answers read from the tracking store: tables, statistics and figures. Run as ``python -m analysis``."""
