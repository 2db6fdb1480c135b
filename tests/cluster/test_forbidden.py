"""What must stand in no file of cluster/: secrets, open doors, versions that change, commands that print what they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = sorted(path for path in CLUSTER.iterdir() if path.is_file())

FORBIDDEN: dict[str, tuple[str, str]] = {
    # What: a pattern, and a line in which it must be found.
    "an address of the whole world": (r"\b0\.0\.0\.0\b", "--dashboard-host=0.0.0.0"),
    "all interfaces, in the new spelling": (r"host[ =:]+(::|\*)", "--host ::"),
    "an open door for debuggers": (r"--ray-debugger-external", "ray start --ray-debugger-external"),
    "a door to the internet": (
        r"\b(LoadBalancer|NodePort|hostNetwork|hostPort|Ingress\b.*ray\.io)",
        "type: NodePort",
    ),
    "no authentication": (r"RAY_AUTH_MODE\W+(disabled|k8s)", "--env=RAY_AUTH_MODE=disabled"),
    "a token": (r"RAY_AUTH_TOKEN[=:](?!\$\()", "RAY_AUTH_TOKEN=0123"),
    "a token's value": (r"\b[0-9a-f]{40,}\b", "token: " + "0123456789abcdef" * 4),
    "an access key of AWS": (r"\b(AKIA|ASIA)[0-9A-Z]{16}\b", "AKIAIOSFODNN7EXAMPLE"),
    "a private key": (r"-----BEGIN", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    "a password": (r"(?i)\bpass(word|wd)?\s*[:=]\s*[^\s$]", "password: hunter2"),
    "a password in a URI": (r"://[^/\s:@]+:[^/\s@]+@", "postgresql://me:hunter2@127.0.0.1/x"),
    "a key in the environment": (r"(SECRET|ACCESS_KEY|API_KEY)\w*\W*[=:]\s*\S", "AWS_SECRET_ACCESS_KEY=abc"),
    "privileges": (r"--privileged|privileged: true|--cap-add|SYS_ADMIN", "docker run --privileged"),
    "hosts that nobody verifies": (
        r"StrictHostKeyChecking|--insecure\b|--trusted-host|verify=False",
        "curl --insecure",
    ),
    "a script from the net": (r"(curl|wget)[^|\n]*\|\s*(sudo )?(ba)?sh", "curl -L https://x.io/a.sh | sh"),
    "a version that changes": (
        r":(latest|nightly|master|main)\b|ray-wheels|imageVersion: latest",
        "image: ray:latest",
    ),
    "every command printed": (r"\bset -\w*x|bash -\w*x", "set -euxo pipefail"),
    "pickles": (r"weights_only=False|pickle\.load|allow_pickle", "torch.load(f, weights_only=False)"),
    "a Ray that ends others": (r"ray stop --force|pkill|killall", "pkill -f ray"),
}

ALLOWED = {
    # The operator and the submitting pod come from other pods; the token and a NetworkPolicy keep others out.
    ("kuberay-job.yaml", "dashboard-host: 0.0.0.0"),
}


def findings(name: str, text: str) -> list[str]:
    return [
        f"{name}: {what}: {line.strip()}"
        for line in text.splitlines()
        for what, (pattern, _) in FORBIDDEN.items()
        if re.search(pattern, line) and (name, line.strip()) not in ALLOWED
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_holds_nothing_that_must_not_be_there(path: Path) -> None:
    assert findings(path.name, path.read_text()) == []


def test_all_kinds_of_files_are_looked_at() -> None:
    assert {path.suffix for path in FILES} >= {".yaml", ".sh", ".md", ""}
    assert len(FILES) >= 12


@pytest.mark.parametrize("what", FORBIDDEN)
def test_each_pattern_finds_what_it_is_for(what: str) -> None:
    _, example = FORBIDDEN[what]
    assert any(f": {what}: " in finding for finding in findings("aws.yaml", f"  - {example}"))


def test_what_one_file_may_say_another_may_not() -> None:
    assert findings("kuberay-cluster.yaml", "dashboard-host: 0.0.0.0")
    assert findings("kuberay-job.yaml", "node-ip-address: 0.0.0.0")
