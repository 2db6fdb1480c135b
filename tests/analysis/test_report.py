"""The report: one page with everything in it, from any store, and with nothing of the store that acts."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from invented_store import EXPERIMENT, SMALL, Writer, invent, settings
from served import served

from analysis import _provenance, _report, claims, figures
from analysis.__main__ import main
from analysis._made import Made, Source
from analysis.deviations import DEVIATIONS, NOTE
from memory_study.config import TrialConfig
from memory_study.record import Tag

Write = Callable[[list[TrialConfig]], Writer]
README = (Path(__file__).parents[2] / "README.md").read_text()
HOSTILE = (
    "</td></table><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'&{{ 7 * 7 }}`"
)
VOID = {"meta", "img", "br", "hr", "input", "link", "col"}
LOADS = {
    "src",
    "srcset",
    "href",
    "action",
    "formaction",
    "data",
    "poster",
    "background",
    "cite",
    "xlink:href",
}
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium is installed, which would open the page"
)


class Page(HTMLParser):
    """The elements of a page, and what is wrong with how they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.faults += [f"<{tag}> has {name} twice" for name in names if names.count(name) > 1]
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def loaded(self) -> list[str]:
        """All that a browser would fetch, or go to, for any attribute of any element."""
        return [
            value for _, attributes in self.elements for name, value in attributes.items() if name in LOADS
        ]


def report(writer: Writer, out: Path, *more: str) -> str:
    assert main(["report", *more, "--tracking-uri", writer.uri, "--out", str(out)]) == 0
    return (out / "report.html").read_text()


@pytest.fixture(scope="module")
def written(store: Writer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the report of many trials, of which one diverged and one failed."""
    folder = tmp_path_factory.mktemp("report")
    report(store, folder, "--no-log")
    return folder


@pytest.fixture(scope="module")
def text(written: Path) -> str:
    return (written / "report.html").read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.mark.parametrize("configs", [[], settings([0], [{}])[:1]], ids=["no trial", "one trial"])
def test_a_page_is_written_from_few_trials(
    configs: list[TrialConfig], store_with: Write, tmp_path: Path
) -> None:
    page = Page(report(store_with(configs), tmp_path, "--no-log"))
    assert not page.faults
    assert len(page.all("img")) == sum(figures.find(name).SWEEP == EXPERIMENT for name in figures.names())
    assert all(claim in page.text for claim in claims.ids())


def test_elements_nest_and_ids_are_unique(page: Page) -> None:
    assert not page.faults
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [section.get("aria-labelledby", section.get("aria-label")) for section in page.all("section")]
    assert all(named)
    assert {
        section["aria-labelledby"] for section in page.all("section") if "tabindex" not in section
    } <= set(ids)


def test_the_cells_of_every_row_fill_its_table(text: str) -> None:
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL):
            spans = [re.search(r'colspan="(\d+)"', cell) for cell in re.findall(r"<t[dh]\b[^>]*>", row)]
            assert sum(int(span[1]) if span else 1 for span in spans) == table.count('<th scope="col"'), row


def test_nothing_is_loaded_and_nothing_runs(page: Page, text: str) -> None:
    assert page.loaded()
    assert all(link.startswith("data:image/png;base64,") for link in page.loaded())
    assert not {name for name, _ in page.elements} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    attributes = {name for _, each in page.elements for name in each}
    assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"url\(|@import|image-set", text)


def test_the_policy_forbids_loading_and_allows_this_style_only(text: str, page: Page) -> None:
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    assert text.index("Content-Security-Policy") < text.index("<style>")  # it rules what comes after it


def test_every_figure_is_in_the_page_with_what_it_shows_in_words(written: Path, page: Page) -> None:
    shown = {image["alt"].split()[1].rstrip("."): image for image in page.all("img")}
    assert set(shown) == {name for name in figures.names() if figures.find(name).SWEEP == EXPERIMENT}
    for name, image in shown.items():
        content = base64.b64decode(image["src"].partition(",")[2])
        assert content == (written / f"{name}.png").read_bytes()
        assert figures.question(name) in image["alt"]
        assert "trials" in image["alt"]
        assert int(image["width"]) > 0


def test_every_claim_is_in_the_page_and_a_missing_experiment_with_the_command_that_fills_it(
    page: Page,
) -> None:
    assert [th["id"] for th in page.all("th") if th.get("scope") == "rowgroup"] == list(claims.ids())
    for claim in claims.ids():
        assert claims.statement(claim) in page.text
        if claims.find(claim).SWEEP != EXPERIMENT:
            assert f"fill it with: python -m sweeps.{claims.find(claim).SWEEP}" in page.text


def test_figures_without_an_experiment_are_named_with_the_command_that_fills_them(page: Page) -> None:
    for name in figures.names():
        sweep = figures.find(name).SWEEP
        if sweep != EXPERIMENT:
            assert re.search(rf"{name}: no experiment '{sweep}'.*python -m sweeps\.{sweep}", page.text)


def test_the_page_says_where_its_numbers_come_from(page: Page, store: Writer) -> None:
    trials, seeds = 6 * len(SMALL) + 2, "3: 0–2"
    words = page.text.split("\n")
    assert "".join([EXPERIMENT, EXPERIMENT, str(trials), "2", "1", seeds]) in "".join(words)
    assert re.search(rf"abc.*cpu.*{trials}", page.text)
    assert f"python -m analysis report --no-log --tracking-uri {store.uri}" in page.text


def test_the_readme_has_the_deviations_of_the_report() -> None:
    section = README.partition("\n## Deviations")[2].partition("\n## ")[0]
    table = [tuple(line.strip("| ").split(" | ")) for line in section.splitlines() if line.startswith("|")]
    assert table[0] == DEVIATIONS[0]._fields
    assert table[2:] == [tuple(row) for row in DEVIATIONS], (
        "change analysis/deviations.py and the README together"
    )
    assert NOTE in " ".join(section.split())


def test_the_page_has_every_deviation(page: Page) -> None:
    for deviation in DEVIATIONS:
        assert deviation.here.replace("`", "") in page.text


def test_text_of_the_store_stays_text(store_with: Write, tmp_path: Path) -> None:
    writer = store_with(settings([0], [{}], dataset=f"folder:{HOSTILE}"[:400]))
    identifier = writer.experiment(HOSTILE)
    good, bad = settings([1, 2], [{}], dataset=f"folder:{HOSTILE}")[:3:2]
    runs = [writer.trial(identifier, invent(good)), writer.trial(identifier, invent(bad), status="FAILED")]
    for run in runs:
        for tag in (Tag.SWEEP, Tag.CODE, Tag.DIRTY, Tag.DEVICE, Tag.PYTHON, Tag.TORCH, Tag.ERROR):
            writer.client.set_tag(run, str(tag), f"{tag} {HOSTILE}")
    page = Page(report(writer, tmp_path, "claims", "regularization", "--no-log", "--experiment", HOSTILE))
    assert not page.faults
    assert not page.all("script")
    assert all(link.startswith("data:image/png;base64,") for link in page.loaded())
    for tag in ("sweep", "code", "dirty", "device", "python", "torch", "error"):
        assert f"{tag} {HOSTILE}" in page.text
    assert f"folder:{HOSTILE}" in page.text
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_no_password_is_in_the_page() -> None:
    uri = "postgresql://me:se@cret:x@host/db"
    made = Made(sources=[source({"seed": [0]})])
    text = _report.render(made, uri, ["report", "--tracking-uri", uri])
    assert "postgresql://me:***@host/db" in text
    assert "cret" not in text


def test_the_page_is_logged_to_the_run_of_figures_as_html(store_with: Write, tmp_path: Path) -> None:
    writer = store_with(settings([0], SMALL[:2]))
    report(writer, tmp_path)
    experiment = writer.client.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = writer.client.search_runs([experiment], filter_string=f"tags.{Tag.KIND} = 'figures'")
    logged = {file.path: file.file_size for file in writer.client.list_artifacts(run.info.run_id)}
    assert logged["report.html"] == (tmp_path / "report.html").stat().st_size
    assert logged.keys() >= {path.name for path in tmp_path.iterdir()}


def test_an_experiment_that_claims_alone_are_about_gets_the_page_too(
    store_with: Write, tmp_path: Path
) -> None:
    writer = store_with(settings([0], SMALL[:2]))
    report(writer, tmp_path, "claims")
    experiment = writer.client.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = writer.client.search_runs([experiment], filter_string=f"tags.{Tag.KIND} = 'figures'")
    names = {file.path for file in writer.client.list_artifacts(run.info.run_id)}
    assert names == {"claims.csv", "report.html"}


def test_a_report_of_one_figure_has_that_figure_and_its_claims(store: Writer, tmp_path: Path) -> None:
    page = Page(report(store, tmp_path, "regularization", "--no-log"))
    assert [image["alt"].split()[1] for image in page.all("img")] == ["regularization."]
    assert [th["id"] for th in page.all("th") if th.get("scope") == "rowgroup"] == ["C12"]


def source(trials: dict[str, Sequence[object]], failed: Sequence[Sequence[object]] = ()) -> Source:
    names = [f"t{place}" for place in range(len(next(iter(trials.values()))))]
    table = pd.DataFrame(trials, index=pd.Index(names, name="trial"))
    return Source("mine", table, pd.DataFrame(failed, columns=["trial", "sweep", "error"], dtype=object))


def test_trials_are_counted_by_sweep_and_a_failed_one_once_unless_it_was_finished_since() -> None:
    trials = {
        "sweep": ["noise", "noise", "capacity"], "seed": [0, 4, 1], "diverged": [1.0, 0.0, float("nan")],
        "seconds": [1.5, 2.0, 0.25],
    }  # fmt: skip
    failed = [["t0", "noise", "a"], ["lost", "noise", "b"], ["lost", "noise", "c"], ["other", None, None]]
    table = _provenance.by_sweep([source(trials, failed)])
    rows = table.set_index("sweep").drop(columns="experiment").T.to_dict()
    assert rows["noise"] == {"finished": 2, "diverged": 1, "failed": 1, "seeds": "2: 0, 4", "seconds": 3.5}
    assert rows["capacity"] == {"finished": 1, "diverged": 0, "failed": 0, "seeds": "1: 1", "seconds": 0.25}
    assert rows["unknown"]["failed"] == 1
    errors = _provenance.errors([source(trials, failed)])
    assert dict(zip(errors["error"], errors["trials"], strict=True)) == {"c": 1, "unknown": 1}


def test_what_trained_the_trials_is_counted_and_what_no_tag_says_is_unknown() -> None:
    trials = {
        "code": ["a", "a", "b"],
        "dirty": ["false", "false", None],
        "device": ["cpu", "cpu", "NVIDIA H100"],
    }
    table = _provenance.environments([source(trials)])
    assert table.to_numpy().tolist() == [
        ["a", "false", "cpu", "unknown", "unknown", 2],
        ["b", "unknown", "NVIDIA H100", "unknown", "unknown", 1],
    ]


@pytest.mark.parametrize(("seeds", "text"), [([], "0"), ([3], "1: 3"), ([7, 0, 2, 1, 3, 3], "5: 0–3, 7")])
def test_seeds_are_counted_and_named(seeds: list[int], text: str) -> None:
    assert _provenance.ranges(seeds) == text


@needs_browser
def test_a_browser_opens_the_page_without_asking_for_anything_or_complaining(
    written: Path, tmp_path: Path
) -> None:
    asked, complaints, _ = opened((written / "report.html").as_uri(), tmp_path / "report")
    assert not asked
    assert not complaints
    other = tmp_path / "other.html"
    other.write_text('<!DOCTYPE html><img src="http://127.0.0.1:9/x" alt=""><script>console.log(1)</script>')
    asked, complaints, _ = opened(other.as_uri(), tmp_path / "other")
    assert "http://127.0.0.1:9/x" in asked
    assert complaints


@pytest.mark.slow
@needs_browser
def test_the_page_opens_in_mlflows_interface_which_asks_for_it_and_nothing_outside(
    store_with: Write, tmp_path: Path
) -> None:
    writer = store_with(settings([0], SMALL[:2]))
    report(writer, tmp_path, "regularization")
    experiment = writer.client.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = writer.client.search_runs([experiment], filter_string=f"tags.{Tag.KIND} = 'figures'")
    with served(writer.uri) as address:
        place = f"{address}/#/experiments/{experiment}/runs/{run.info.run_id}/artifacts/report.html"
        asked, _, document = opened(place, tmp_path / "interface")
    assert any("/get-artifact?path=report.html" in url for url in asked)
    assert not [url for url in asked if not url.startswith((f"{address}/", f"blob:{address}/"))]
    (frame,) = Page(document).all("iframe")
    assert frame["src"].startswith(f"blob:{address}/")
    assert frame["sandbox"] == "allow-scripts"  # without what would let it reach into the interface


def opened(url: str, folder: Path) -> tuple[set[str], list[str], str]:
    """What a page asks a network for that a browser opens, the lines of its console, and the document it made.

    What the browser asks of its own accord, as its maker for updates, has no origin.
    """
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile",
        "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--log-net-log={folder}/net.json", "--enable-logging=stderr", "--virtual-time-budget=60000",
        "--dump-dom", url,
    ]  # fmt: skip
    folder.mkdir()
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env=environment)
    events = json.loads((folder / "net.json").read_text())["events"]
    requests = [event["params"] for event in events if "url" in event.get("params", {})]
    of_the_browser = {each["url"] for each in requests if each.get("initiator") == "not an origin"}
    asked = {each["url"] for each in requests} - of_the_browser
    return asked, [line for line in done.stderr.splitlines() if "CONSOLE" in line], done.stdout
