"""A checkpoint is data: none of its code is run, and nothing outside its folder is read, unless its user says so.

Each attack is real: a canary file appears where code was run, a canary word where a file outside was read.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import dynamic_module_utils

from medeval_assets.catalog.checkpoint_identity import identify
from medeval_assets.catalog.checkpoint_source import resolve, resolve_adapter
from medeval_assets.catalog.external import external_models
from medeval_assets.catalog.gguf_package import converted
from medeval_assets.catalog.incoming import incoming_models
from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.engines.checkpoint import load_config, load_model, load_tokenizer
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.registration import Registration, refuse_wrong_names
from medeval_assets.engines.rendering import Renderer
from medeval_assets.errors import BadInput
from medeval_assets.metrics.encoder_folder import encoder_at
from medeval_assets.settings import Settings
from medeval_assets.tasks import find_tasks
from medeval_assets_tests.checkpoints import CHATML
from medeval_assets_tests.encoders import make_tiny_bert

HERE = EngineNeeds(gpus=0)
TRUSTED = EngineNeeds(gpus=0, remote_code=True)


class Bomb:
    """Whoever unpickles it makes the canary."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return (Path.touch, (self._canary,))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "m"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", sources=tmp_path / "sources")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the library copies code that it runs."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path / "modules"


def spec_of(folder: Path, **fields: Any) -> ModelSpec:
    values = {"key": "m", "checkpoint": f"folder:{folder}", "role": "generalist", "engine": HERE, **fields}
    return ModelSpec.model_validate(values)


def change(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def refused(spec: ModelSpec, settings: Settings) -> list[str]:
    with pytest.raises(BadInput) as caught:
        resolve(spec, settings)
    return [str(problem) for problem in caught.value.problems]


def load(folder: Path, needs: EngineNeeds = HERE) -> tuple[Any, Any]:
    """(model, tokenizer), as an engine loads them: without the checks that come first."""
    tokenizer = load_tokenizer(folder, needs)
    return load_model(engine_setup("m", folder, "causal", needs), "AutoModelForCausalLM"), tokenizer


# Pickles


def write_bomb(path: Path, canary: Path) -> None:
    torch.save({"model.norm.weight": Bomb(canary)}, path)


def test_the_bomb_goes_off_where_it_is_unpickled(tmp_path: Path, canary: Path) -> None:
    write_bomb(tmp_path / "x.bin", canary)
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert canary.exists()
    canary.unlink()
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.exists()


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "last.ckpt", "weights.pkl", "adapter_model.bin"]
)
def test_pickled_weights_are_refused_and_never_read(folder: Path, settings: Settings, canary: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    write_bomb(folder / name, canary)
    assert (
        "its weights are pickles, which can run code when read, so they are refused"
        in refused(spec_of(folder), settings)[0]
    )
    with pytest.raises(BadInput, match="convert pickled weights"):
        load(folder)
    assert not canary.exists()


def test_pickles_beside_good_weights_are_left_alone(folder: Path, settings: Settings, canary: Path) -> None:
    for name in ("pytorch_model.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt", "rng_state.pth"):
        write_bomb(folder / name, canary)
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"x": "pytorch_model.bin"}}')
    load(resolve(spec_of(folder), settings))
    assert not canary.exists()


def test_a_pickle_by_the_name_of_safetensors_is_refused(folder: Path, settings: Settings, canary: Path) -> None:
    write_bomb(folder / "model.safetensors", canary)
    assert "truncated or no safetensors file" in refused(spec_of(folder), settings)[0]
    with pytest.raises(BadInput):
        load(folder)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["adapter_model.bin", "../m/pytorch_model.bin", "other.safetensors"])
def test_a_config_that_names_its_weights_is_refused(folder: Path, settings: Settings, canary: Path, name: str) -> None:
    write_bomb(folder / Path(name).name, canary)
    change(folder / "config.json", transformers_weights=name)
    assert "`transformers_weights` names the weights itself" in refused(spec_of(folder), settings)[0]
    with pytest.raises(BadInput):
        load(folder)
    assert not canary.exists()


def test_an_adapter_inside_a_checkpoint_is_refused(folder: Path, settings: Settings, canary: Path) -> None:
    write_bomb(folder / "adapter_model.bin", canary)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "/elsewhere"}')
    assert "m/adapter_config.json: an adapter lies in the checkpoint" in refused(spec_of(folder), settings)[0]
    assert not canary.exists()


def test_a_pickled_adapter_is_refused(folder: Path, tmp_path: Path, settings: Settings, canary: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    write_bomb(adapter / "adapter_model.bin", canary)
    with pytest.raises(BadInput, match=r"there is no adapter_model\.safetensors"):
        resolve_adapter(spec_of(folder, adapter=f"folder:{adapter}"), settings)
    assert not canary.exists()


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    """A LoRA adapter for the checkpoint."""
    import peft

    library: Any = peft
    adapted = library.get_peft_model(load(folder)[0], library.LoraConfig(target_modules=["q_proj"]))
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_pickle_beside_a_good_adapter_is_left_alone(
    folder: Path, adapter: Path, settings: Settings, canary: Path
) -> None:
    write_bomb(adapter / "adapter_model.bin", canary)
    (adapter / "sitecustomize.py").write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    found = resolve_adapter(spec_of(folder, adapter=f"folder:{adapter}"), settings)
    load_model(engine_setup("m", folder, "causal", HERE, found), "AutoModelForCausalLM")
    assert not canary.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"megatron_config": {"x": 1}, "megatron_core": "canary_module"},
        {"auto_mapping": {"base_model_class": "X", "parent_library": "canary_module"}},
        {"base_model_name_or_path": "canary_module"},
    ],
)
def test_an_adapter_imports_nothing_that_it_names(
    folder: Path, adapter: Path, canary: Path, fields: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    (adapter / "canary_module.py").write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    monkeypatch.syspath_prepend(adapter)
    change(adapter / "adapter_config.json", **fields)
    setup = engine_setup("m", folder, "causal", HERE, adapter)
    if "megatron_config" in fields:
        with pytest.raises(BadInput, match="Megatron"):
            load_model(setup, "AutoModelForCausalLM")
    else:
        load_model(setup, "AutoModelForCausalLM")
    assert not canary.exists()


# Code


def with_code(folder: Path, canary: Path, model_type: str = "canary") -> Path:
    """The checkpoint, whose config and tokenizer ask for classes of its own; importing them makes the canary."""
    (folder / "chirp.py").write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    (folder / "canary_code.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "from .chirp import Path\n"
        f"class CanaryConfig(LlamaConfig):\n    model_type = {model_type!r}\n"
        "class CanaryModel(LlamaForCausalLM):\n    config_class = CanaryConfig\n"
        "class CanaryTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    classes = {"AutoConfig": "canary_code.CanaryConfig", "AutoModelForCausalLM": "canary_code.CanaryModel"}
    change(folder / "config.json", model_type=model_type, auto_map=classes)
    change(
        folder / "tokenizer_config.json",
        tokenizer_class="CanaryTokenizer",
        auto_map={"AutoTokenizer": [None, "canary_code.CanaryTokenizer"]},
    )
    return folder


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("model_type", ["canary", "llama"])
def test_code_in_a_checkpoint_is_refused_and_never_run(
    folder: Path, settings: Settings, canary: Path, model_type: str
) -> None:
    with_code(folder, canary, model_type)
    assert [problem.partition(":")[0] for problem in refused(spec_of(folder), settings)] == [
        "m/config.json",
        "m/tokenizer_config.json",
    ]
    for read in (load_config, load_tokenizer, load):
        # The library may use a class of its own of the same name, or give up.
        try:
            read(folder, HERE)
        except BadInput as error:
            assert "code" in str(error)
    assert not canary.exists()


def test_code_beside_a_plain_config_is_never_run(folder: Path, settings: Settings, canary: Path, modules: Path) -> None:
    for name in ("modeling_llama.py", "tokenization.py", "__init__.py", "setup.py", "sitecustomize.py"):
        (folder / name).write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "setup.py", folder / "custom_generate" / "generate.py")
    load(resolve(spec_of(folder), settings))
    assert not canary.exists()
    assert not modules.exists()


def test_code_is_run_where_the_entry_allows_it_and_is_part_of_the_identity(
    folder: Path, settings: Settings, canary: Path, modules: Path
) -> None:
    trusting = spec_of(with_code(folder, canary), engine=TRUSTED)
    model, tokenizer = load(resolve(trusting, settings), TRUSTED)
    assert (type(model).__name__, type(tokenizer).__name__) == ("CanaryModel", "CanaryTokenizer")
    assert canary.exists()
    assert any(modules.rglob("canary_code.py"))

    before = identify(trusting, folder, None)
    assert before.code_sha256
    assert identify(spec_of(folder), folder, None).code_sha256 == ""
    for changed in (folder / "chirp.py", folder / "custom_generate" / "generate.py"):
        changed.parent.mkdir(exist_ok=True)
        with changed.open("a") as file:
            file.write("# changed\n")
        after = identify(trusting, folder, None)
        assert after.code_sha256 != before.code_sha256
        assert after.identity_sha256 != before.identity_sha256
        before = after


@pytest.mark.parametrize(
    "name", ["org/evil--canary_code.CanaryConfig", "sub/canary_code.CanaryConfig", "../m/canary_code.CanaryConfig", "x"]
)
def test_allowed_code_must_lie_beside_the_config(folder: Path, settings: Settings, canary: Path, name: str) -> None:
    with_code(folder, canary)
    change(folder / "config.json", auto_map={"AutoConfig": name})
    (problem,) = refused(spec_of(folder, engine=TRUSTED), settings)
    assert "which lies elsewhere" in problem
    assert not canary.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attn_implementation", "org/evil-kernel"),
        ("_attn_implementation", "org/evil@main:kernel"),
        ("text_config", {"attn_implementation": "org/evil"}),
        ("_attn_implementation_internal", "flash|org/evil"),
    ],
)
def test_compiled_code_from_the_hub_is_refused(folder: Path, settings: Settings, field: str, value: object) -> None:
    change(folder / "config.json", **{field: value})
    assert "asks to run compiled code from the hub" in refused(spec_of(folder), settings)[0]


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
        "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
        "{% include 'CANARY' %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(folder: Path, canary: Path, attack: str) -> None:
    template = attack.replace("CANARY", str(canary)) + CHATML
    with pytest.raises(BadInput):
        Renderer(load_tokenizer(folder, HERE), template)
    assert not canary.exists()


def test_a_folder_cannot_allow_its_own_code(folder: Path, tmp_path: Path, canary: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    inside = with_code(Path(shutil.move(folder, incoming / "m")), canary)
    (inside / "medeval.yaml").write_text("engine: {gpus: 0, remote_code: true}\n")
    models, problems = incoming_models(incoming)
    assert models == {}
    told = [str(problem) for problem in problems["m"]]
    assert any("a folder cannot allow its own code to be run" in one for one in told)
    assert sum("`auto_map` asks to run code" in one for one in told) == 2
    assert not canary.exists()


# Paths


@pytest.mark.parametrize(
    "file", ["../outside.safetensors", "/outside.safetensors", "sub/x.safetensors", "..\\x.safetensors", "x.bin", ""]
)
def test_an_index_names_files_of_its_folder_only(folder: Path, settings: Settings, file: str) -> None:
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": file}}))
    assert "which is no safetensors file of the folder" in refused(spec_of(folder), settings)[0]


@pytest.mark.parametrize("name", ["vocab_file", "merges_file", "tokenizer_file", "spm_file", "some_other_file"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_tokenizer_names_files_of_its_folder_only(
    folder: Path, settings: Settings, name: str, absolute: bool
) -> None:
    """The vocabulary outside has a word that the folder's has not."""
    outside = folder.parent / "outside.json"
    outside.write_text((folder / "tokenizer.json").read_text().replace("patient", "CANARY!"))
    change(folder / "tokenizer_config.json", **{name: str(outside) if absolute else "../outside.json"})
    (problem,) = refused(spec_of(folder), settings)
    assert problem.startswith(f"m/tokenizer_config.json: `{name}` names `")
    assert problem.endswith("which lies outside the folder. Remove it: a tokenizer's files lie beside its config.")
    assert not [token for token in load_tokenizer(folder, HERE).get_vocab() if "CANARY!" in token]


def test_file_names_that_lead_nowhere_or_inside_are_left_alone(folder: Path, settings: Settings) -> None:
    """Checkpoints of the field carry such paths of the machine that made them."""
    change(
        folder / "tokenizer_config.json",
        tokenizer_file="/root/.cache/huggingface/hub/none/tokenizer.json",
        special_tokens_map_file="/content/special_tokens_map.json",
        vocab_file="tokenizer.json",
    )
    assert resolve(spec_of(folder), settings) == folder
    load_tokenizer(folder, HERE)


def test_a_link_that_leads_out_of_an_incoming_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    for name in ("file", "below", "inside"):
        shutil.copytree(folder, incoming / name)
    (incoming / "whole").symlink_to(folder)
    (incoming / "file" / "tokenizer.json").unlink()
    (incoming / "file" / "tokenizer.json").symlink_to(folder / "tokenizer.json")
    (incoming / "below" / "additional_chat_templates").mkdir()
    (incoming / "below" / "additional_chat_templates" / "rag.jinja").symlink_to("/etc/hostname")
    (incoming / "below" / "up").symlink_to("..")
    (incoming / "inside" / "chat_template.jinja").rename(incoming / "inside" / "own.jinja")
    (incoming / "inside" / "chat_template.jinja").symlink_to("own.jinja")
    models, problems = incoming_models(incoming)
    assert list(models) == ["inside"]
    assert {key: [problem.where for problem in told] for key, told in problems.items()} == {
        "below": ["below/up", "below/additional_chat_templates/rag.jinja"],
        "file": ["file/tokenizer.json"],
        "whole": ["whole"],
    }


def test_a_link_that_leads_out_of_an_external_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text('{"example_id": "1", "text": "secret"}')
    external = tmp_path / "external"
    (external / "my-gpt").mkdir(parents=True)
    (external / "my-gpt" / "mednli.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (external / "all").symlink_to(tmp_path)
    models, problems = external_models(external)
    assert models == {}
    assert [problem.where for told in problems.values() for problem in told] == ["all", "my-gpt/mednli.jsonl"]


@pytest.mark.parametrize(
    "text",
    [
        "chat_template: file:{outside}/x.jinja\n",
        "chat_template: file:../../x.jinja\n",
        "chat_template: file:a/../../x.jinja\n",
        "chat_template: file:~/x.jinja\n",
        "adapter: folder:{outside}\n",
        "adapter: folder:..\n",
        "adapter: folder:link\n",
    ],
)
def test_what_describes_a_folder_names_only_what_is_in_it(folder: Path, tmp_path: Path, text: str) -> None:
    incoming = tmp_path / "incoming"
    inside = Path(shutil.copytree(folder, incoming / "m"))
    (tmp_path / "x.jinja").write_text(CHATML)
    (inside / "medeval.yaml").write_text(text.format(outside=tmp_path))
    (inside / "link").symlink_to(tmp_path)
    models, problems = incoming_models(incoming)
    assert models == {}
    (inside / "link").unlink()
    if "link" not in text:
        models, problems = incoming_models(incoming)
        assert models == {}
        assert "out of the folder" in problems["m"][0].what


def test_a_catalog_file_reads_templates_from_its_folder_or_by_an_absolute_path(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    catalog = home / "models.yaml"
    entry = "models:\n  m: {{checkpoint: 'hub:a/b', role: generalist, chat_template: 'file:{path}'}}\n"
    for path in ("../x.jinja", "templates/../../x.jinja", ".."):
        catalog.write_text(entry.format(path=path))
        with pytest.raises(BadInput, match=r"models.yaml:2 models.m.chat_template: the path leads out of the folder"):
            read_models([catalog])
    for allowed, found in (("a/../x.jinja", home / "a/../x.jinja"), (tmp_path / "x.jinja", tmp_path / "x.jinja")):
        catalog.write_text(entry.format(path=allowed))
        assert read_models([catalog])["m"].chat_template == f"file:{found}"


@pytest.mark.parametrize("key", ["..", "../m", "a/b", "a\\b", ".m", "-m", "", "M", "a|b", "m\n", "a" * 101])
def test_a_key_that_is_no_name_of_a_folder_is_refused(key: str, tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ValidationError):
        spec_of(tmp_path, key=key)
    registration = Registration(key, [(find_tasks(["mednli"])[0], tmp_path / "x.jsonl")])
    with pytest.raises(BadInput):
        refuse_wrong_names(registration, {}, settings)


@pytest.mark.parametrize("name", ["../mednli", "mednli/../../x", "/etc", "", "mednli\0"])
def test_a_task_is_one_of_those_there_are(name: str) -> None:
    with pytest.raises(BadInput):
        find_tasks([name])


@pytest.mark.parametrize(
    "fields",
    [
        {"checkpoint": "hub:../etc"},
        {"checkpoint": "hub:a/.."},
        {"checkpoint": "hub:a/b/c"},
        {"checkpoint": "hub:a/b", "revision": "../../x"},
        {"checkpoint": "hub:a/b", "revision": "refs/../x"},
        {"checkpoint": "hub:a/b", "revision": "/etc"},
        {"checkpoint": "hub:a/b", "revision": "-x"},
        {"checkpoint": "gguf-package:../x.gguf"},
        {"checkpoint": "gguf-package:os.path/x.gguf"},
        {"checkpoint": "gguf-package:os/../x.gguf"},
        {"checkpoint": "gguf-package:os/.x.gguf"},
        {"checkpoint": "gguf-package:os/x.bin"},
        {"checkpoint": "folder:a\0b"},
        {"adapter": "gguf-package:os/x.gguf"},
        {"adapter": "hub:../x"},
    ],
)
def test_a_place_that_leads_elsewhere_is_refused(fields: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        spec_of(tmp_path, **fields)


def test_a_package_is_searched_without_being_run_and_its_links_lead_nowhere(
    tmp_path: Path, settings: Settings, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "canary_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    (tmp_path / "outside.gguf").write_bytes(b"GGUF")
    (package / "linked.gguf").symlink_to(tmp_path / "outside.gguf")
    monkeypatch.syspath_prepend(tmp_path / "site")
    for name in ("linked.gguf", "absent.gguf"):
        with pytest.raises(BadInput, match="the installed package has no such file"):
            converted(f"canary_weights/{name}", settings)
    assert not canary.exists()
    assert not settings.checkpoints.exists()


@pytest.mark.parametrize("attack", ["code", "adapter", "index", "pickle", "tokenizer"])
def test_an_encoder_is_held_to_the_same(tmp_path: Path, canary: Path, attack: str) -> None:
    encoder = make_tiny_bert(tmp_path / "encoders" / "bert")
    (encoder / "medeval.yaml").write_text("layer: 1\n")
    assert encoder_at(encoder).layer == 1
    if attack == "code":
        with_code(encoder, canary, "bert")
    elif attack == "adapter":
        (encoder / "adapter_config.json").write_text("{}")
    elif attack == "index":
        (encoder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../x.safetensors"}}')
    elif attack == "pickle":
        (encoder / "model.safetensors").unlink()
        write_bomb(encoder / "pytorch_model.bin", canary)
    else:
        (tmp_path / "vocab.txt").write_text("CANARY!")
        change(encoder / "tokenizer_config.json", vocab_file=os.path.relpath(tmp_path / "vocab.txt", encoder))
    with pytest.raises(BadInput):
        encoder_at(encoder)
    assert not canary.exists()
