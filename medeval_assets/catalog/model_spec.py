"""ModelSpec: one system under test. EngineNeeds: what it takes to run it."""

from __future__ import annotations

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

KEY_RULE = "Use 1 to 100 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit."

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_CHECKPOINTS = {
    "hub": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"),
    "folder": re.compile(r"[^\0]+"),
    # A dotted module could only be found by importing its parent, so packages are named by their top level.
    "gguf-package": re.compile(r"[A-Za-z_][A-Za-z0-9_]*/(?!\.)[^/\\\0]+\.gguf"),
    "baseline": re.compile(r"majority|random|copy"),
    "generations": re.compile(r"[^\0]+"),
    "served": re.compile(r"[!-~]{1,200}"),
}


def is_key(text: str) -> bool:
    """Whether `text` can name a model: it becomes a partition key and the name of a folder."""
    return _KEY.fullmatch(text) is not None


def _refused(what: str, remedy: str, field: str = "") -> PydanticCustomError:
    """An error in the words a user reads. field: the one it is about, where several were looked at."""
    return PydanticCustomError("refused", "{what}. {remedy}", {"what": what, "remedy": remedy, "field": field})


class EngineNeeds(BaseModel):
    """What a model needs to run.

    name: which engine runs it; `auto` is vLLM where it is installed and a GPU is there, else transformers; `openai` is
        a server that speaks OpenAI's protocol.
    gpus: GPUs it occupies; 0 runs on the CPU.
    dtype: number format of its weights and activations; `auto` is the one its files are in.
    context: most tokens of prompt and answer together; None is what its config allows.
    tensor_parallel: over how many GPUs each layer is split.
    gpu_memory: share of each GPU's memory that vLLM may take, weights and cache together.
    server: address of the server, such as `http://127.0.0.1:8000/v1`, for `openai`. Keys come from the environment.
    served_name: what the server calls the model; "" is the model's key. A `served:` checkpoint says it itself.
    concurrency: most requests that are with the server at once.
    may_leave: tasks whose credentialed or copyrighted text may be sent to the server.
    remote_code: run the Python that lies in the checkpoint. It can do anything that you can.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: Literal["auto", "transformers", "vllm", "openai"] = "auto"
    gpus: int = Field(default=1, ge=0, le=1024)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    context: int | None = Field(default=None, ge=1, le=100_000_000)
    tensor_parallel: int = Field(default=1, ge=1, le=1024)
    gpu_memory: float = Field(default=0.9, gt=0, le=1)
    server: str = ""
    served_name: str = ""
    concurrency: int = Field(default=16, ge=1, le=1024)
    may_leave: list[str] = Field(default_factory=list)
    remote_code: bool = False

    @model_validator(mode="before")
    @classmethod
    def _runs_elsewhere(cls, values: Any) -> Any:
        # What a server runs occupies no GPU here.
        return {"gpus": 0, **values} if isinstance(values, dict) and values.get("name") == "openai" else values

    @model_validator(mode="after")
    def _served_by_a_server(self) -> Self:
        if self.name == "openai" and not self.server:
            raise _refused("the engine `openai` without a server", "Write `server: http://host:port/v1`.", "server")
        if self.name != "openai" and self.server:
            raise _refused(
                f"a server for the engine `{self.name}`", "Write `name: openai`, or `server: null`.", "server"
            )
        if self.server and not _is_address(self.server):
            # It may hold a password, so it is not shown.
            raise _refused(
                "not the address of a server",
                "Write `http://host:port/v1` or `https://…`, without user, password, query and fragment.",
                "server",
            )
        return self

    @property
    def server_name(self) -> str:
        """The server's host, port and path: what tells servers apart, with nothing secret in it."""
        return self.server.partition("://")[2].rstrip("/")

    @model_validator(mode="after")
    def _parallel_over_what_there_is(self) -> Self:
        if self.tensor_parallel > max(self.gpus, 1):
            raise _refused(
                f"tensor_parallel {self.tensor_parallel} exceeds the {self.gpus} GPUs",
                "Raise `gpus` or lower `tensor_parallel`.",
                "tensor_parallel",
            )
        return self


def _is_address(text: str) -> bool:
    """Whether it is the address of an HTTP server and nothing else."""
    try:
        parts = urlsplit(text)
        port_is_usable = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = re.fullmatch(r"[!-~]+", text) is not None and not set(text) & set("@?#\\")
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port_is_usable and plain


# What is not loaded needs no GPU and has no template.
_UNLOADED = {"engine": EngineNeeds(gpus=0), "chat_template": "none"}


def _loads(checkpoint: object) -> bool:
    return not isinstance(checkpoint, str) or not checkpoint.startswith(("baseline:", "generations:", "served:"))


class ModelSpec(BaseModel):
    """One system under test: a checkpoint, its revision and its chat template. Two templates are two models.

    key: the partition key, a slug.
    title: its name in tables; the key where none is given.
    checkpoint: `hub:org/name`, `folder:path`, or `gguf-package:module/file.gguf`, a GGUF inside an
        installed Python package. Where nothing is loaded: `baseline:majority`, `baseline:random` or `baseline:copy`,
        made from the dataset; `generations:path`, a folder of answers that another tool produced; `served:name`, a
        model whose files are not here and that a server knows by this name.
    revision: branch, tag or commit of a `hub:` checkpoint; None is its main branch.
    base: key of the generalist it is compared with, which makes the pair.
    adapter: `hub:org/name` or `folder:path` of a LoRA adapter on top of the checkpoint.
    kind: `causal` generates; `encoder` only scores options.
    chat_template: `tokenizer` (its own), `none`, `file:path`, or `as:key` (another model's).
    demo: runs anywhere and belongs to `medeval demo`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    key: str
    title: str = ""
    checkpoint: str
    revision: str | None = None
    role: Literal["biomedical", "generalist", "baseline"]
    base: str | None = None
    adapter: str | None = None
    kind: Literal["causal", "encoder"] = "causal"
    chat_template: str = "tokenizer"
    engine: EngineNeeds = EngineNeeds()
    size: str = ""
    licence: str = ""
    note: str = ""
    demo: bool = False

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        titled = values if values.get("title") or "key" not in values else {**values, "title": values["key"]}
        return titled if _loads(titled.get("checkpoint")) else {**_UNLOADED, **titled}

    @field_validator("key")
    @classmethod
    def _slug(cls, key: str) -> str:
        if not is_key(key):
            raise _refused("not a usable key", KEY_RULE)
        return key

    @field_validator("checkpoint")
    @classmethod
    def _known_source(cls, checkpoint: str) -> str:
        scheme, _, target = checkpoint.partition(":")
        if scheme not in _CHECKPOINTS or _CHECKPOINTS[scheme].fullmatch(target) is None:
            raise _refused(
                "says no place a checkpoint can come from",
                "Write `hub:org/name`, `folder:path`, `gguf-package:module/file.gguf`, "
                "`baseline:<majority, random or copy>`, `generations:path` or `served:<name>`.",
            )
        return checkpoint

    @field_validator("adapter")
    @classmethod
    def _known_adapter(cls, adapter: str | None) -> str | None:
        scheme, _, target = (adapter or "").partition(":")
        if adapter is not None and (scheme not in {"hub", "folder"} or not _CHECKPOINTS[scheme].fullmatch(target)):
            raise _refused("says no place an adapter can come from", "Write `hub:org/name` or `folder:path`.")
        return adapter

    @field_validator("revision")
    @classmethod
    def _plain_revision(cls, revision: str | None) -> str | None:
        if revision is not None and _REVISION.fullmatch(revision) is None:
            raise _refused("not a revision", "Give a branch, a tag or a commit of the hub repository.")
        return revision

    @field_validator("chat_template")
    @classmethod
    def _known_template(cls, template: str) -> str:
        scheme, _, target = template.partition(":")
        if template not in {"tokenizer", "none"} and not (scheme in {"file", "as"} and target):
            raise _refused(
                "says no place a chat template can come from",
                "Write `tokenizer`, `none`, `file:path` or `as:<model key>`.",
            )
        return template

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.base == self.key:
            raise _refused("a pair with itself", "Name the generalist it came from, or write `base: null`.", "base")
        if self.revision is not None and self.source != "hub":
            raise _refused("a revision without a `hub:` checkpoint", "Write `revision: null`.", "revision")
        if (self.role == "baseline") != (self.source == "baseline"):
            raise _refused(
                "the role and the checkpoint do not agree", "`baseline:` checkpoints have the role baseline.", "role"
            )
        if self.engine.name == "openai" and self.kind == "encoder":
            raise _refused("servers do not score encoders", "Write `engine.name: auto`.", "kind")
        if self.source == "served":
            self._refuse_what_needs_files()
        return self

    def _refuse_what_needs_files(self) -> None:
        if self.engine.name != "openai":
            raise _refused(
                "a `served:` checkpoint without a server",
                "Write `engine: {name: openai, server: http://host:port/v1}`.",
                "engine",
            )
        if self.engine.served_name:
            raise _refused("a second name", "The checkpoint names it: write `served_name: null`.", "engine.served_name")
        if self.chat_template != "none":
            raise _refused("the server has the chat template", "Write `chat_template: null`.", "chat_template")
        if self.adapter is not None:
            raise _refused("an adapter without weights here", "Write `adapter: null`.", "adapter")

    @property
    def served_name(self) -> str:
        """What a server calls it."""
        if self.source == "served":
            return self.checkpoint.partition(":")[2]
        return self.engine.served_name or self.key

    @property
    def is_asked(self) -> bool:
        """Whether its answers come from asking it: not those of baselines, nor those that were given in a file."""
        return self.source not in {"baseline", "generations"}

    @property
    def source(self) -> str:
        """Where it comes from: the word before the checkpoint's colon."""
        return self.checkpoint.partition(":")[0]

    @property
    def checkpoint_name(self) -> str:
        """The checkpoint without this machine's folders, fit for a lineage record."""
        target = self.checkpoint.partition(":")[2]
        in_folder = self.source in {"folder", "generations"}
        return f"{self.source}:{target.rstrip('/').rpartition('/')[2]}" if in_folder else self.checkpoint

    @property
    def template_owner(self) -> str | None:
        """Key of the model whose chat template it uses, where it is not its own."""
        scheme, _, target = self.chat_template.partition(":")
        return target if scheme == "as" else None
