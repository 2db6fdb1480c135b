"""Measures taken on a stack of replicas, one file each."""
