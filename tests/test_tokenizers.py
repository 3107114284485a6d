from __future__ import annotations

from importlib.util import find_spec

import pytest
from sacrebleu.metrics import BLEU

from seq2attn.errors import ConfigError
from seq2attn.evaluation import tokenizers
from seq2attn.evaluation.metrics import Bleu
from seq2attn.evaluation.tokenizers import best_tokenizer, tokenizer_for, what_is_missing


@pytest.mark.parametrize(
    ("language", "expected"),
    [("zh", "zh"), ("ja", "ja-mecab"), ("ko", "ko-mecab"), ("th", "char"), ("de", "13a"), ("ar", "13a"), ("", "13a")],
)
def test_each_language_has_a_best_tokenizer(language: str, expected: str) -> None:
    assert best_tokenizer(language) == expected


@pytest.mark.parametrize(("language", "instead"), [("ja", "char"), ("ko", "13a")])
def test_if_the_best_is_not_installed_another_is_used(
    language: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "find_spec", lambda package: None)
    assert tokenizer_for(language) == instead
    monkeypatch.setattr(tokenizers, "find_spec", lambda package: object())
    assert tokenizer_for(language) == best_tokenizer(language)


@pytest.mark.parametrize("tokenizer", sorted(BLEU.TOKENIZERS))
def test_a_missing_tokenizer_is_a_one_line_error_with_the_command_to_run(tokenizer: str) -> None:
    missing = what_is_missing(tokenizer)
    if missing is None:
        assert Bleu(tokenizer).statistics([["a b"]], [["a b"]])[0, 0, 0] > 0
        return
    with pytest.raises(ConfigError, match="not installed; run ") as caught:
        Bleu(tokenizer)
    assert missing in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_package_to_install_is_sacrebleus_extra() -> None:
    for tokenizer, packages in tokenizers._PACKAGES.items():
        if not all(map(find_spec, packages)):
            assert what_is_missing(tokenizer) == f"pip install 'sacrebleu[{tokenizer[:2]}]'"


def test_an_unknown_tokenizer_error_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"tokenizer 14a: expected one of .*13a"):
        Bleu("14a")
