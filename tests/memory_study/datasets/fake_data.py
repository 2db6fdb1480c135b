"""A server that misbehaves, made-up data sets on it, and made-up image folders."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image


class Server:
    """Serves ``files`` by path on 127.0.0.1, counts requests, and misbehaves on demand."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.behaviour: dict[str, str] = {}  # path: "break off" or "stall"
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests[self.path] += 1
                content = server.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                behaviour = server.behaviour.get(self.path)
                self.wfile.write(content[: len(content) // 2] if behaviour else content)
                if behaviour == "stall":
                    time.sleep(3)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@dataclass
class Published:
    """A made-up data set, published on the server: its unpacked files, and the path of a file to download."""

    name: str
    files: dict[str, bytes]
    url_path: str
    packed: dict[str, bytes]

    def put(self, data_dir: Path, packed: bool = False) -> None:
        """Put all files in place, as a user who copied them would."""
        for path, content in (self.packed if packed else self.files).items():
            (data_dir / path).parent.mkdir(parents=True, exist_ok=True)
            (data_dir / path).write_bytes(content)


def write_images(
    root: Path, size: tuple[int, int] = (12, 10), mode: str = "RGB", train: int = 10, test: int = 3
) -> Path:
    """A folder data set of PNG noise with the classes cat and dog; ``size`` is width and height."""
    rng = np.random.default_rng(1)
    for part, count in (("train", train), ("test", test)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / part / name / f"{index}.png")
    return root
