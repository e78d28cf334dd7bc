"""The Dagster UI on what `make demo` made, in a real Chromium."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.e2e.conftest import BIN, DEMO_MODEL, environment

# Only the extra `browser` brings it; lint, types and the other tests do without.
playwright: Any = pytest.importorskip("playwright.sync_api", reason="run `make test-browser`")
Browser: TypeAlias = Any
Page: TypeAlias = Any

pytestmark = pytest.mark.browser

CHECKOUT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
MODELS = [DEMO_MODEL, f"{DEMO_MODEL}-plain", "baseline-majority", "baseline-random", "baseline-copy"]
BY_TASK = ["datasets", "prompt_sets"]
BY_CELL = ["generations", "scores", "metric_tables"]
GROUPS = ["data", "inference", "evaluation", "reports", "audit"]
PARTITIONED = [*BY_TASK, *BY_CELL]
ASSETS = [*PARTITIONED, "leaderboard", "comparisons", "lineage_audit"]

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_START_S = 180
# The first page waits until the code location is loaded.
_PAGE_MS = 60_000
_PARTITIONS = """{ assetNodes {
  assetKey { path }
  assetMaterializations(limit: 1) { runId }
  assetPartitionStatuses {
    ... on DefaultPartitionStatuses { materializedPartitions failedPartitions }
    ... on MultiPartitionStatuses {
      primaryDimensionName
      ranges {
        primaryDimStartKey
        primaryDimEndKey
        secondaryDim { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } }
      }
    }
  }
} }"""
_CHECKS = """{ assetNodes {
  assetKey { path }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } }
} }"""


@pytest.fixture(scope="module")
def demo() -> Settings:
    """Where `make demo` left its work."""
    home = os.environ.get("MEDEVAL_HOME") or str(CHECKOUT / ".medeval")
    settings = Settings.from_environment({"MEDEVAL_HOME": home})
    if not (settings.lake / "leaderboard").is_dir():
        pytest.fail(f"there is no demo in {settings.home}: run `make demo`")
    return settings


@pytest.fixture(scope="module")
def address(demo: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The UI's address, as `make ui` serves it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("ui") / "ui.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [BIN / "medeval", "ui", "--port", str(port)],
            env=environment(demo.home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        served = f"http://127.0.0.1:{port}"
        if not _is_serving(f"{served}/server_info", process):
            pytest.fail(f"the UI did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")
        yield served
    finally:
        _end(process)


def _is_serving(url: str, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the UI to stop as Ctrl-C does; whatever of its group is left after that is killed."""
    os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(60)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    playwright.expect.set_options(timeout=_PAGE_MS)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A page that reaches the UI and nothing else. A test fails if anything that the UI serves made an error."""
    context = chromium.new_context(base_url=address, viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(_PAGE_MS)
    page = context.new_page()
    errors: list[str] = []

    def only_here(route: Any) -> None:
        if urlsplit(route.request.url).netloc == urlsplit(address).netloc:
            route.continue_()
        else:
            route.abort()

    def note(message: Any) -> None:
        place = message.location["url"]
        if message.type == "error" and (not place or place.startswith((address, "data:"))):
            errors.append(f"{message.text} ({place})")

    page.route(re.compile(r"^https?:"), only_here)
    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def _ask(page: Page, query: str) -> dict[str, dict[str, Any]]:
    """What the UI's own endpoint says of every asset, by asset."""
    page.goto("/assets")
    answer = page.evaluate(
        """async query => (await fetch("/graphql", {
            method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({query})
        })).json()""",
        query,
    )
    assert "errors" not in answer, answer
    return {"/".join(node["assetKey"]["path"]): node for node in answer["data"]["assetNodes"]}


def _keep(page: Page, demo: Settings, name: str) -> None:
    folder = demo.home / "screenshots"
    folder.mkdir(exist_ok=True)
    page.wait_for_timeout(800)  # the UI fades its dialogs in
    page.screenshot(path=folder / f"{name}.png")


@pytest.mark.parametrize("asset", ASSETS)
def test_the_page_of_every_asset_shows_its_materialization(page: Page, asset: str) -> None:
    page.goto(f"/assets/{asset}")

    playwright.expect(page.get_by_text("Latest materialization").first).to_be_visible()
    # Of a partition or of the whole asset.
    rows = "dagster/partition_row_count" if asset in PARTITIONED else "Row count"
    playwright.expect(page.get_by_text(rows).first).to_be_visible()
    playwright.expect(page.get_by_text("Never materialized")).to_have_count(0)


def test_every_partition_of_the_demo_is_materialized(page: Page) -> None:
    nodes = _ask(page, _PARTITIONS)

    # The repeat checks are only made where somebody asks for them.
    assert sorted(nodes) == sorted([*ASSETS, "repeat_checks"])
    assert nodes["leaderboard"]["assetMaterializations"]
    tasks = set(all_tasks())
    for asset in BY_TASK:
        statuses = nodes[asset]["assetPartitionStatuses"]
        assert set(statuses["materializedPartitions"]) == tasks, asset
        assert statuses["failedPartitions"] == [], asset
    for asset in BY_CELL:
        statuses = nodes[asset]["assetPartitionStatuses"]
        assert statuses["primaryDimensionName"] == "model"
        # Some demo models are neighbours, so that one range may stand for several.
        rows: dict[str, set[str]] = {}
        for part in statuses["ranges"]:
            first, last = (MODELS.index(part[end]) for end in ("primaryDimStartKey", "primaryDimEndKey"))
            for model in MODELS[first : last + 1]:
                rows.setdefault(model, set()).update(part["secondaryDim"]["materializedPartitions"])
            assert part["secondaryDim"]["failedPartitions"] == [], asset
        assert rows == dict.fromkeys(MODELS, tasks), asset


def test_every_check_has_passed(page: Page) -> None:
    nodes = _ask(page, _CHECKS)

    for asset in ASSETS:
        checks = nodes[asset]["assetChecksOrError"]["checks"]
        assert checks, asset
        results = {check["name"]: (check["executionForLatestMaterialization"] or {}).get("status") for check in checks}
        assert set(results.values()) == {"SUCCEEDED"}, (asset, results)


@pytest.mark.parametrize(("asset", "models"), [("leaderboard", MODELS), ("comparisons", MODELS[:2])])
def test_a_report_shows_its_table_and_its_picture(page: Page, demo: Settings, asset: str, models: list[str]) -> None:
    page.goto(f"/assets/{asset}")

    _open_markdown(page, asset)
    table = page.get_by_role("dialog").locator("table").last
    playwright.expect(table).to_be_visible()
    for name in all_tasks():
        playwright.expect(table.get_by_text(name, exact=False).first).to_be_visible()
    for name in models:
        playwright.expect(page.get_by_role("dialog").get_by_text(name, exact=False).first).to_be_visible()
    playwright.expect(page.get_by_role("dialog")).to_contain_text("synthetic samples")
    page.keyboard.press("Escape")
    playwright.expect(page.get_by_role("dialog")).to_have_count(0)

    _open_markdown(page, "picture")
    picture = page.get_by_role("dialog").locator("img[src^='data:image/png']")
    playwright.expect(picture).to_be_visible()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth; }") > 0
    _keep(page, demo, asset)


def _open_markdown(page: Page, key: str) -> None:
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=key, exact=True))
    row.get_by_text("[Show Markdown]").click()
    playwright.expect(page.get_by_role("dialog")).to_be_visible()


def test_the_lineage_shows_every_asset(page: Page, demo: Settings) -> None:
    # Where a node gets less room, it shows its name and nothing else.
    page.set_viewport_size({"width": 2600, "height": 1500})
    unfolded = ",".join(f"global@global:{group}" for group in GROUPS)
    page.goto(f"/asset-groups?expanded={unfolded}")

    graph = page.locator("svg")
    for asset in ASSETS:
        playwright.expect(graph.get_by_text(asset, exact=True)).to_be_visible()
    playwright.expect(graph.get_by_text("4 / 4 Passed")).to_have_count(len(ASSETS) - 3)
    # The chat templates of the models that answered are checked too.
    playwright.expect(graph.get_by_text("5 / 5 Passed")).to_have_count(1)
    # No comparison is no fault: where no model and its base were evaluated, the table is empty.
    playwright.expect(graph.get_by_text("3 / 3 Passed")).to_have_count(1)
    playwright.expect(graph.get_by_text("100% filled")).to_have_count(len(BY_TASK))
    playwright.expect(graph.get_by_text("Materialized", exact=True)).to_have_count(3)
    _keep(page, demo, "lineage")
