from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from medeval_assets.catalog.chat_template import chat_template_text
from medeval_assets.catalog.checkpoint_identity import identify
from medeval_assets.catalog.checkpoint_source import resolve, resolve_adapter
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings
from medeval_assets_tests.adapters import make_adapter
from medeval_assets_tests.checkpoints import CHATML

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """As much of the hub as a download needs, on the loopback."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories = repositories
        self.sent: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        api = path.startswith("api/models/")
        organisation, name, action, revision, *rest = [*path.removeprefix("api/models/").split("/"), "", "", ""][:7]
        repository = f"{organisation}/{name}"
        folder = self.server.repositories.get(repository)
        if repository == "org/gated":
            self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif repository == "org/failing":
            self._answer(400, b"", {})
        elif folder is None:
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in {"main", COMMIT}:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif api and action == "tree":
            files = [self._entry(file) for file in sorted(folder.rglob("*")) if file.is_file()]
            self._answer(200, json.dumps(files).encode(), {})
        elif api:
            siblings = [{"rfilename": str(file.relative_to(folder))} for file in sorted(folder.rglob("*"))]
            body = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings, "tags": []}
            self._answer(200, json.dumps(body).encode(), {})
        else:
            file = folder / "/".join(part for part in rest if part)
            content = file.read_bytes()
            if self.command == "GET":
                self.server.sent.append(file.name)
            self._answer(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _entry(self, file: Path) -> dict[str, object]:
        for folder in self.server.repositories.values():
            if file.is_relative_to(folder):
                content = file.read_bytes()
                oid = hashlib.sha1(content).hexdigest()
                return {"type": "file", "path": str(file.relative_to(folder)), "size": len(content), "oid": oid}
        raise ValueError(file)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing: the requests are checked, not read."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return Settings(home=tmp_path / "home", sources=tmp_path / "sources")


@pytest.fixture
def hub(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    tiny = Path(shutil.copytree(tiny_checkpoint, tmp_path / "hub" / "tiny"))
    (tiny / "original").mkdir()
    shutil.copy(tiny / "model.safetensors", tiny / "original")
    shutil.copy(tiny / "model.safetensors", tiny / "consolidated.safetensors")
    for name in ("pytorch_model.bin", "modeling_tiny.py", "README.md"):
        (tiny / name).write_text("never asked for")
    pickled = Path(shutil.copytree(tiny_checkpoint, tmp_path / "hub" / "pickled"))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    server = Hub({"org/tiny": tiny, "org/pickled": pickled})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()
    server.server_close()


def spec(repository: str, **fields: object) -> ModelSpec:
    values = {"key": "m", "checkpoint": f"hub:{repository}", "role": "generalist", **fields}
    return ModelSpec.model_validate(values)


def test_a_hub_checkpoint_is_downloaded_below_home_without_what_is_not_needed(
    hub: Hub, settings: Settings, tiny_checkpoint: Path
) -> None:
    folder = resolve(spec("org/tiny"), settings)
    assert folder.is_relative_to(settings.home / "hub")
    assert {path.name for path in folder.iterdir()} == {path.name for path in tiny_checkpoint.iterdir()}
    assert sorted(hub.sent) == sorted(path.name for path in tiny_checkpoint.iterdir())

    identity = identify(spec("org/tiny"), folder, CHATML)
    assert identity.revision == COMMIT
    assert identity.identity_sha256 == identify(spec("org/tiny"), tiny_checkpoint, CHATML).identity_sha256


def test_hf_home_says_where_downloads_lie(
    hub: Hub, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "elsewhere"))
    assert resolve(spec("org/tiny", revision=COMMIT), settings).is_relative_to(tmp_path / "elsewhere")
    assert not settings.home.exists()


def test_what_was_downloaded_serves_without_a_network(hub: Hub, settings: Settings) -> None:
    folder = resolve(spec("org/tiny"), settings)
    hub.shutdown()
    hub.server_close()
    assert resolve(spec("org/tiny"), settings) == folder


@pytest.mark.parametrize(
    ("repository", "fields", "words"),
    [
        ("org/gated", {}, ("gated", "https://huggingface.co/org/gated")),
        ("org/absent", {}, ("no such repository", "hf auth login")),
        ("org/tiny", {"revision": "v9"}, ("no such revision", "`revision`")),
        ("org/pickled", {}, ("no safetensors", "Convert it")),
        ("org/failing", {}, ("cannot be reached", "folder:path")),
    ],
)
def test_what_the_hub_refuses_says_what_to_do(
    hub: Hub, settings: Settings, repository: str, fields: dict[str, str], words: tuple[str, str]
) -> None:
    with pytest.raises(BadInput) as caught:
        resolve(spec(repository, **fields), settings)
    (problem,) = caught.value.problems
    assert problem.where == f"m hub:{repository}"
    assert words[0] in problem.what
    assert words[1] in problem.remedy
    assert "pytorch_model.bin" not in hub.sent


def test_no_network_and_nothing_downloaded(hub: Hub, settings: Settings) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(BadInput, match="the hub cannot be reached, and the files are not in its cache"):
        resolve(spec("org/tiny"), settings)


def test_a_borrowed_template_costs_no_download_of_weights(hub: Hub, settings: Settings, tiny_checkpoint: Path) -> None:
    owner = spec("org/tiny", key="owner")
    borrower = spec("org/other", chat_template="as:owner")
    assert chat_template_text(borrower, {"owner": owner}, settings, tiny_checkpoint) == CHATML
    assert set(hub.sent) == {"chat_template.jinja", "tokenizer_config.json"}


def test_a_folder_is_used_where_it_lies_and_refused_with_all_its_faults(
    tiny_checkpoint: Path, tmp_path: Path, settings: Settings
) -> None:
    whole = ModelSpec(key="m", checkpoint=f"folder:{tiny_checkpoint}", role="generalist")
    assert resolve(whole, settings) == tiny_checkpoint

    broken = Path(shutil.copytree(tiny_checkpoint, tmp_path / "broken"))
    (broken / "config.json").unlink()
    (broken / "tokenizer.json").unlink()
    with pytest.raises(BadInput) as caught:
        resolve(whole.model_copy(update={"checkpoint": f"folder:{broken}"}), settings)
    assert [problem.where for problem in caught.value.problems] == ["m/config.json", "m"]

    with pytest.raises(BadInput, match="m: no such folder"):
        resolve(whole.model_copy(update={"checkpoint": f"folder:{tmp_path / 'absent'}"}), settings)


def test_an_adapter_is_used_where_it_lies_and_refused_where_it_is_not_whole(tmp_path: Path, settings: Settings) -> None:
    def adapted(adapter: str | None) -> ModelSpec:
        return spec("org/tiny", adapter=adapter)

    folder = make_adapter(tmp_path / "adapter")
    assert resolve_adapter(adapted(None), settings) is None
    assert resolve_adapter(adapted(f"folder:{folder}"), settings) == folder
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(BadInput, match=r"^m adapter: there is no adapter_model\.safetensors\. .*pickles are refused"):
        resolve_adapter(adapted(f"folder:{folder}"), settings)
    missing = r"there is no adapter_config\.json and no adapter_model\.safetensors"
    with pytest.raises(BadInput, match=missing):
        resolve_adapter(adapted(f"folder:{tmp_path / 'absent'}"), settings)


def test_an_adapter_from_the_hub_comes_without_pickles_and_base_model(
    hub: Hub, settings: Settings, tmp_path: Path
) -> None:
    folder = make_adapter(tmp_path / "hub" / "adapter")
    (folder / "adapter_model.bin").write_text("never asked for")
    (folder / "README.md").write_text("never asked for")
    hub.repositories["org/adapter"] = folder
    found = resolve_adapter(spec("org/tiny", adapter="hub:org/adapter"), settings)
    assert found is not None
    assert found.is_relative_to(settings.home / "hub")
    assert sorted(path.name for path in found.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert sorted(hub.sent) == ["adapter_config.json", "adapter_model.safetensors"]
