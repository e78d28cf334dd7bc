"""ModelUnderTest: a model with its files, identity, template and engine, each made once and only if needed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medeval_assets.catalog.chat_template import chat_template_text
from medeval_assets.catalog.checkpoint_identity import CheckpointIdentity, identify
from medeval_assets.catalog.checkpoint_source import resolve, resolve_adapter
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import Access
from medeval_assets.engines.checked_template import checked_template, renders_here
from medeval_assets.engines.checkpoint import load_tokenizer
from medeval_assets.engines.engine_setup import EngineSetup, engine_setup
from medeval_assets.engines.journal import Journal
from medeval_assets.engines.loaded_engines import LOADED_ENGINES, load_engine
from medeval_assets.engines.protocol import Engine
from medeval_assets.engines.rendering import PromptRenderer, Renderer
from medeval_assets.engines.respondent import Questions
from medeval_assets.engines.template_check import Finding
from medeval_assets.errors import BadInput, MedevalError, Problem, nearest
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_log = logging.getLogger(__name__)


class ModelUnderTest:
    """One model. What cannot be had raises the same error each time it is asked for, without being tried again.

    download: False raises NotHere where files would have to be downloaded or converted first.
    """

    def __init__(
        self, spec: ModelSpec, models: Mapping[str, ModelSpec], settings: Settings, *, download: bool = True
    ) -> None:
        self.spec = spec
        self._models = models
        self._settings = settings
        self._download = download
        self._parts: dict[str, Any] = {}

    @property
    def folder(self) -> Path:
        """The checkpoint's files; downloaded or converted where they are not there yet."""
        path: Path = self._once("folder", lambda: resolve(self.spec, self._settings, download=self._download))
        return path

    @property
    def adapter(self) -> Path | None:
        """The LoRA adapter's files, if it has one."""
        path: Path | None = self._once(
            "adapter", lambda: resolve_adapter(self.spec, self._settings, download=self._download)
        )
        return path

    @property
    def identity(self) -> CheckpointIdentity:
        """Which weights, tokenizer, config and template; nothing is loaded for it."""
        cache = self._settings.home / "cache"
        identity: CheckpointIdentity = self._once(
            "identity",
            lambda: identify(self.spec, self.folder, self._template(), adapter=self.adapter, cache=cache),
        )
        return identity

    @property
    def renderer(self) -> PromptRenderer:
        """Renders prompts under the model's template. BadInput where answers under it would say nothing about it."""
        name = f"chat template of {self.spec.key}"

        def make() -> Renderer:
            blocking = [one for one in self.template_findings if one.severity == "blocking"]
            if blocking:
                raise BadInput([Problem(name, one.what, one.remedy) for one in blocking])
            return Renderer(self._tokenizer(), self._template(), name)

        renderer: Renderer = self._once("renderer", make)
        return renderer

    @property
    def template_findings(self) -> list[Finding]:
        """How template, tokenizer and config do not fit together; nothing is loaded for it but the tokenizer.

        Empty where the prompts are rendered elsewhere. BadInput where one of them cannot be had.
        """
        if not renders_here(self.spec):
            return []

        def find() -> list[Finding]:
            return checked_template(
                self.spec,
                self._models,
                self._settings,
                folder=self.folder,
                template=self._template(),
                tokenizer=self._tokenizer,
            )

        findings: list[Finding] = self._once("template_findings", find)
        return findings

    @property
    def setup(self) -> EngineSetup:
        """Which engine runs it, and with what; nothing is loaded for it."""
        spec = self.spec
        setup: EngineSetup = self._once(
            "setup", lambda: engine_setup(spec.key, self.folder, spec.kind, spec.engine, self.adapter)
        )
        return setup

    @property
    def work(self) -> Mapping[str, str]:
        """All that decides an answer besides what is asked. Copies of the same files are the same work."""
        work = {"identity": self.identity.identity_sha256, "engine": self.setup.engine, "dtype": self.setup.dtype}
        return {**work, **self.elsewhere}

    @property
    def elsewhere(self) -> Mapping[str, str]:
        """The server that runs it and its name there; empty where it runs here."""
        server = self.spec.engine.server_name
        return {"server": server, "served_name": self.spec.served_name} if server else {}

    @property
    def request_salt(self) -> str:
        return json.dumps(self.work, sort_keys=True)

    @property
    def journal(self) -> Journal:
        """Its answers so far."""
        journal: Journal = self._once("journal", lambda: Journal(self._settings.journal, self.work))
        return journal

    @property
    def engine(self) -> Engine:
        """The loaded model: the one this process holds, where it is the same."""
        engine: Engine = self._once("engine", lambda: LOADED_ENGINES.get(self._engine_key(), self._load))
        return engine

    def may_be_asked(self, questions: Questions) -> None:
        """BadInput where text that is not public would leave for a server, and the user has not allowed it.

        Also where what the user allows names no task: that may be a slip of the pen.
        """
        if self.spec.engine.name != "openai":
            return
        unknown = [name for name in self.spec.engine.may_leave if name not in all_tasks()]
        if unknown:
            where = f"models.{self.spec.key}.engine.may_leave"
            raise BadInput(
                [Problem(where, f"there is no task {quoted(name)}", nearest(name, all_tasks())) for name in unknown]
            )
        if questions.access is Access.PUBLIC:
            return
        task = questions.task.name
        if task not in self.spec.engine.may_leave:
            what = f"the task is {questions.access.value}, and its prompts would go to {self.spec.engine.server}"
            remedy = f"If its terms allow that, add {task} to `engine.may_leave` of the model."
            raise BadInput([Problem(f"{self.spec.key} × {task}", what, remedy)])

    def drop_engine(self) -> None:
        """Close the engine; who asks for it again gets a new one."""
        self._parts.pop("engine", None)
        LOADED_ENGINES.close()

    def _template(self) -> str | None:
        return chat_template_text(self.spec, self._models, self._settings, self.folder, download=self._download)

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer: PreTrainedTokenizerBase = self._once(
            "tokenizer", lambda: load_tokenizer(self.folder, self.spec.engine)
        )
        return tokenizer

    def _engine_key(self) -> str:
        # The files decide, not the template: but two models are two systems, and each is loaded for its own run.
        return f"{self.spec.key} {self.identity.identity_sha256} {self.spec.engine.model_dump_json()}"

    def _load(self) -> Engine:
        _log.info("loading model %s", self.spec.key)
        start = time.perf_counter()
        engine = self._new_engine()
        _log.info("model %s loaded in %.1f s on %s", self.spec.key, time.perf_counter() - start, engine.identity.device)
        return engine

    def _new_engine(self) -> Engine:
        return load_engine(self.setup)

    def _once(self, part: str, make: Callable[[], Any]) -> Any:
        if part not in self._parts:
            try:
                self._parts[part] = make()
            except MedevalError as error:
                self._parts[part] = error
        if isinstance(self._parts[part], MedevalError):
            raise self._parts[part]
        return self._parts[part]
