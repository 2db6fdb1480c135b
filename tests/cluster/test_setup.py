"""The wheel that README.md says how to make is what setup.sh installs on a node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from environments import on_top

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"


PLACES = {
    "aws": "s3://bucket/checkpoints",
    "gcp": "gs://bucket/checkpoints",
    "azure": "abfss://memory-study@account.dfs.core.windows.net/checkpoints",
}
DRIVERS = {"aws": "s3fs", "gcp": "gcsfs", "azure": "adlfs"}


def setup(cluster: Path, programs: Path, cloud: str = "aws") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [cluster / "setup.sh", "worker", cloud], env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_node_without_the_wheel_or_with_two_of_them_is_told_so(tmp_path: Path) -> None:
    shutil.copy(CLUSTER / "setup.sh", tmp_path)
    assert "must hold one wheel" in setup(tmp_path, tmp_path).stderr
    (tmp_path / "dist").mkdir()
    for version in ("0.1.0", "0.2.0"):
        (tmp_path / "dist" / f"memory_study-{version}-py3-none-any.whl").touch()
    done = setup(tmp_path, tmp_path)
    assert (done.returncode, "must hold one wheel" in done.stderr) == (1, True)


@pytest.mark.slow
def test_the_readmes_commands_make_the_wheel_that_a_node_installs_even_under_the_same_version(
    tmp_path: Path,
) -> None:
    tree, programs = tmp_path / "tree", on_top(tmp_path / "environment")
    copy_of_the_repository(tree)
    for answer, (cloud, place) in enumerate(PLACES.items()):  # the code changes, its version does not
        with (tree / "memory_study" / "identity.py").open("a") as code:
            code.write(f"\nANSWER = {answer}\n")
        make_wheel(tree, programs)
        done = setup(tree / "cluster", programs, cloud)
        assert done.returncode == 0, done.stderr
        program = f"import memory_study.identity as i, fsspec; store = fsspec.core.url_to_fs({place!r})[0]; "
        program += "print(i.ANSWER, i.__file__, store, getattr(store, 'anon', False))"
        said = subprocess.run(
            [programs / "python", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        assert said.startswith(f"{answer} {tmp_path}/environment/lib"), said
        assert DRIVERS[cloud] in said, "checkpoints go there through fsspec"
        assert said.split()[-1] == "False", "older releases of adlfs ask Azure as nobody, who may not write"


def copy_of_the_repository(tree: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda each: (ROOT / each).is_file(), listed.splitlines()):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)


def make_wheel(tree: Path, programs: Path) -> None:
    """As README.md says; what stands there before ``ray up``."""
    blocks = re.findall(r"```console\n(.*?)```", (CLUSTER / "README.md").read_text(), re.DOTALL)
    (block, *_) = [block for block in blocks if "pip wheel" in block]
    before, _, _ = block.partition("$ ray up")
    script = "set -e\n" + before.replace("$ ", "")
    env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", script], cwd=tree, env=env, check=True, timeout=300)
    (wheel,) = (tree / "cluster" / "dist").glob("memory_study-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"sweeps/regularization.py", "analysis/__main__.py"} <= set(names)
    assert not any(name.startswith(("tests/", "cluster/")) for name in names)
