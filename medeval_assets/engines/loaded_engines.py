"""LoadedEngines: the one model this process holds in memory, kept from run to run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.protocol import Engine


class LoadedEngines:
    """Keeps the engine that was asked for last, so that the next run of the same model need not load it again.

    loads: how often each identity was loaded in this process.
    """

    def __init__(self) -> None:
        self.loads: dict[str, int] = {}
        self._lock = threading.Lock()
        self._identity = ""
        self._engine: Engine | None = None

    def get(self, identity_sha256: str, load: Callable[[], Engine]) -> Engine:
        """The engine of this identity, loaded if it is not the one at hand; another one is closed first."""
        with self._lock:
            if self._engine is None or self._identity != identity_sha256:
                self._close()
                self._engine = load()
                self._identity = identity_sha256
                self.loads[identity_sha256] = self.loads.get(identity_sha256, 0) + 1
            return self._engine

    def close(self) -> None:
        """Free the memory of the engine at hand."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


LOADED_ENGINES = LoadedEngines()
"""This process's."""


def load_engine(setup: EngineSetup) -> Engine:
    """The engine that the setup asks for. BadInput where it cannot be loaded."""
    match setup.engine:
        case "transformers-encoder":
            from medeval_assets.engines.encoder_engine import EncoderEngine

            return EncoderEngine.load(setup)
        case "vllm":
            from medeval_assets.engines.vllm_engine import VllmEngine

            return VllmEngine.load(setup)
        case "openai":
            from medeval_assets.engines.openai_engine import OpenAiEngine

            return OpenAiEngine.load(setup)
        case "transformers":
            from medeval_assets.engines.transformers_engine import TransformersEngine

            return TransformersEngine.load(setup)
