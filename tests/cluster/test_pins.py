"""Every node has the Python, the Ray and the project that the tests ran with."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().split()
    if re.fullmatch(r"\S+==\S+", line)
)
HEADING = (ROOT / "constraints.txt").read_text().splitlines()[0]
(PYTHON,) = re.findall(r"Python (\d\.\d+)", HEADING)


def versions(text: str) -> dict[str, set[str]]:
    """What a file says of the versions of Ray, Python and the project, wherever it says so."""
    return {
        "ray": {
            *re.findall(r"rayproject/ray:(\d+\.\d+\.\d+)", text),
            *re.findall(r"rayVersion: (\d+\.\d+\.\d+)", text),
            *re.findall(r"ray\[default\]==(\d+\.\d+\.\d+)", text),
        },
        "python": {
            *(f"{major}.{minor}" for major, minor in re.findall(r"rayproject/ray:[\d.]+-py(\d)(\d+)", text)),
            *(
                f"{major}.{minor}"
                for major, minor in re.findall(r"version_info\[:2\] == \((\d), (\d+)\)", text)
            ),
        },
        "project": set(re.findall(r"/memory-study:([\w.]+)", text)),
    }


EXPECTED = {"ray": {CONSTRAINTS["ray"]}, "python": {PYTHON}, "project": {PROJECT["version"]}}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("aws.yaml", {"ray", "python"}),
        ("gcp.yaml", {"ray", "python"}),
        ("azure.yaml", {"ray", "python"}),
        ("Dockerfile", {"ray", "python", "project"}),
        ("kuberay-cluster.yaml", {"ray", "project"}),
        ("kuberay-job.yaml", {"ray", "project"}),
        ("setup.sh", {"python"}),
        ("README.md", {"ray", "project"}),
    ],
)
def test_the_versions_in_a_file_are_the_projects(name: str, says: set[str]) -> None:
    found = versions((CLUSTER / name).read_text())
    said = {what for what in found if found[what]}
    if said == {"project"} and name in ("aws.yaml", "gcp.yaml", "azure.yaml"):
        says = said  # a user's own image, made from Dockerfile
    assert said == says
    for what in said:
        assert found[what] == EXPECTED[what]


def test_a_version_of_another_day_would_be_seen() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    assert versions(text.replace("ray:2.60.0", "ray:2.59.1"))["ray"] != EXPECTED["ray"]
    assert versions(text.replace("-py311", "-py312"))["python"] != EXPECTED["python"]


def test_the_pinned_ray_is_the_one_that_the_checks_here_ran_with() -> None:
    assert metadata.version("ray") == CONSTRAINTS["ray"]


def test_the_packages_for_the_clouds_are_pinned_and_azures_are_those_that_ray_asks_for() -> None:
    import ray

    packages = re.findall(
        r"[\w-]+[=<>!~]=?[\w.]+", (CLUSTER / "setup.sh").read_text().split("declare")[1].split(")\n")[0]
    )
    assert len(packages) > 10
    assert all("==" in package for package in packages)
    defaults = yaml.safe_load((Path(ray.__file__).parent / "autoscaler/azure/defaults.yaml").read_text())
    asked = [word for command in defaults["head_setup_commands"] for word in command.split() if "==" in word]
    assert len(asked) > 5
    assert set(asked) <= set(packages)
