"""See what attention changed: train three translation models and draw BLEU over sentence length.

The names in `__all__` are the public Python interface; docs/python.md explains them. `import seq2attn` loads none of
PyTorch, NumPy and matplotlib: each name loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "AttentionView",
    "CheckpointError",
    "Config",
    "ConfigError",
    "DataError",
    "EvaluationResult",
    "Run",
    "RunError",
    "ScoreResult",
    "Seq2AttnError",
    "TrainingError",
    "__version__",
    "evaluate",
    "load_config",
    "load_run",
    "plot_length_curve",
    "score",
    "train",
]

if TYPE_CHECKING:
    from seq2attn.api import EvaluationResult, ScoreResult, plot_length_curve
    from seq2attn.api.runs import Run, evaluate, load_config, load_run, train
    from seq2attn.api.scores import score
    from seq2attn.attention.html import AttentionView
    from seq2attn.config.schema import Config
    from seq2attn.errors import CheckpointError, ConfigError, DataError, RunError, Seq2AttnError, TrainingError
else:
    _MODULES = {
        **dict.fromkeys(("Run", "evaluate", "load_config", "load_run", "train"), "seq2attn.api.runs"),
        **dict.fromkeys(("EvaluationResult", "ScoreResult", "plot_length_curve"), "seq2attn.api"),
        "AttentionView": "seq2attn.attention.html",
        "score": "seq2attn.api.scores",
        "Config": "seq2attn.config.schema",
        **dict.fromkeys(
            ("CheckpointError", "ConfigError", "DataError", "RunError", "Seq2AttnError", "TrainingError"),
            "seq2attn.errors",
        ),
    }

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
