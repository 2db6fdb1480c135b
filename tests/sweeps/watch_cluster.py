"""Watches a cluster: a line of JSON twice a second until it is ended. Usage: watch_cluster.py ADDRESS."""

from __future__ import annotations

import json
import sys
import time

import ray


def main() -> None:
    ray.init(sys.argv[1], log_to_driver=False, logging_level="error", namespace="watch")
    while True:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        total, free = ray.cluster_resources(), ray.available_resources()
        used = {name: total.get(name, 0) - free.get(name, 0) for name in ("CPU", "GPU")}
        line = {
            "seconds": time.time(),
            "nodes": len(nodes),
            "gpus": sum(n.get("GPU", 0) for n in nodes),
            "used": used,
        }
        print(json.dumps(line), flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
