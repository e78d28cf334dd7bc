"""Models that a server answers for, evaluated through Dagster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from medeval_assets.engines import server
from medeval_assets.engines.server import Patience
from medeval_assets.lake.key import LakeKey
from medeval_assets_tests.graph.small_platform import SmallPlatform
from medeval_assets_tests.scripted_server import Received, Reply, ScriptedServer, TinyModel, healthy

KEY = "sk-not-to-be-found-anywhere"
MARKER = "ZEBRA-7731"


@pytest.fixture
def served(platform: SmallPlatform, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr(server, "PATIENCE", Patience(tries=2, first_wait=0.01, connecting=20, answering=60))
    monkeypatch.setenv("MEDEVAL_SERVER_KEY", KEY)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedServer(TinyModel(platform.checkpoint)).running() as running:
        yield running


def add_served(platform: SmallPlatform, served: ScriptedServer, **engine: Any) -> None:
    """A model `closed` that only the server has."""
    needs = {"name": "openai", "server": served.address, **engine}
    platform.add_model("closed", checkpoint="served:tiny", engine=needs)


def posted(served: ScriptedServer) -> list[Received]:
    return [one for one in served.received if one.method == "POST"]


def test_a_served_model_is_evaluated_and_goes_on_after_a_bad_run(
    platform: SmallPlatform, served: ScriptedServer
) -> None:
    add_served(platform, served)
    told: list[str] = []

    def bad(received: Received, reply: Reply) -> None:
        if received.method == "POST" and not told:
            told.append(received.said)
        if received.said in told and received.method == "POST":
            reply.send_json({"error": {"message": received.said}}, 500)
        else:
            reply.go_right()

    served.script = bad
    outcome = platform.evaluate(["closed"], ["mednli"])
    assert any("1 of 2 prompts got no answer: HTTP 500 (1)" in problem for problem in outcome.problems)
    assert told[0] not in "".join(outcome.problems)
    served.received.clear()
    served.script = healthy
    outcome = platform.evaluate(["closed"], ["mednli"])
    assert outcome.problems == []
    assert [one.said for one in posted(served)] == told
    rows = platform.lake.rows(LakeKey("generations", "closed", "mednli"))
    assert len(rows) == 2
    assert all(row["finish_reason"] in {"stop", "length"} and row["prompt_tokens"] for row in rows)
    assert all(list(row["option_logprobs"]) == [] for row in rows)
    metrics = {row["metric"] for row in platform.lake.rows(LakeKey("metric_tables", "closed", "mednli"))}
    assert metrics
    assert not [metric for metric in metrics if "likelihood" in metric]
    record = platform.lake.record(LakeKey("generations", "closed", "mednli"))
    assert record is not None
    host = served.address.removeprefix("http://")
    assert record.derivation.model["checkpoint"] == "served:tiny"
    assert record.derivation.model["server"] == host
    assert record.environment["engine"] == "openai"
    served.received.clear()
    assert platform.evaluate(["closed"], ["mednli"]).problems == []
    assert served.received == [], "nothing has changed"
    for path in platform.settings.home.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_credentialed_text_leaves_only_where_the_user_says_so(platform: SmallPlatform, served: ScriptedServer) -> None:
    rows = [
        {"pairID": f"p{n}", "sentence1": f"{MARKER} {n}", "sentence2": "He is ill.", "gold_label": label}
        for n, label in enumerate(("neutral", "entailment", "contradiction") * 3)
    ]
    platform.write_source("mednli", "mli_test_v1.jsonl", "\n".join(map(json.dumps, rows)))
    add_served(platform, served)
    outcome = platform.evaluate(["closed"], ["mednli"])
    assert any("credentialed" in problem and "may_leave" in problem for problem in outcome.problems), outcome.problems
    assert served.received == []
    assert platform.lake.record(LakeKey("generations", "closed", "mednli")) is None
    platform.add_model(
        "allowed",
        checkpoint="served:tiny",
        engine={
            "name": "openai",
            "server": served.address,
            "may_leave": ["mednli"],
        },
    )
    assert platform.evaluate(["allowed"], ["mednli"]).problems == []
    assert any(MARKER in one.said for one in posted(served))
