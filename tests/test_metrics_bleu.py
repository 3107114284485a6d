from __future__ import annotations

import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

import seq2attn.evaluation
from seq2attn.errors import DataError
from seq2attn.evaluation.metrics import N_STATISTICS, Bleu, corpus_bleu
from seq2attn.evaluation.tokenizers import tokenizer_for

# Few distinct words, so n-grams match; symbols, numbers and scripts that the tokenizers treat differently.
WORD = st.sampled_from(["the", "a", "cat", "sat,", "3.5", "don't", "(mat)", "我爱你", "是的。", "é", "—", ""])
SENTENCE = st.lists(WORD, max_size=12).map(" ".join)
CORPUS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=6)

GOLDEN = [
    (["the cat sat on the mat"], ["the cat sat on the mat"], "13a", 100.0),
    (["the cat sat on a mat"], ["the cat sat on the mat"], "13a", 53.7284965911771),
    (["the cat"], ["the cat sat on the mat"], "13a", 0.0),
    (["the cat sat on"], ["the cat sat on the mat"], "13a", 60.653065971263345),
    (["dog dog dog dog"], ["the cat sat on the mat"], "13a", 0.0),
    (["the dog ran off home"], ["the cat sat on the mat"], "13a", 8.745825313180626),
    ([""], ["the cat"], "13a", 0.0),
    (["the cat"], [""], "13a", 0.0),
    (["我爱北京天安门"], ["我爱北京天安门。"], "zh", 86.68778997501816),
]


@pytest.mark.parametrize(("hypotheses", "references", "tokenize", "expected"), GOLDEN)
def test_golden_scores(hypotheses: list[str], references: list[str], tokenize: str, expected: float) -> None:
    assert corpus_bleu(hypotheses, references, tokenize) == pytest.approx(expected, abs=1e-12)


@given(corpus=CORPUS, tokenize=st.sampled_from(["13a", "zh", "char"]))
def test_summed_statistics_score_exactly_as_sacrebleu(corpus: list[tuple[str, str]], tokenize: str) -> None:
    hypotheses, references = [h for h, _ in corpus], [r for _, r in corpus]
    expected = sacrebleu.corpus_bleu(hypotheses, [references], tokenize=tokenize, force=True).score
    assert corpus_bleu(hypotheses, references, tokenize) == expected


@given(corpus=CORPUS)
def test_scores_of_many_corpora_equal_the_score_of_each(corpus: list[tuple[str, str]]) -> None:
    bleu = Bleu()
    (statistics,) = bleu.statistics([[h for h, _ in corpus]], [[r for _, r in corpus]])
    sums = np.cumsum(statistics, axis=0)
    np.testing.assert_allclose(bleu.score_each(sums), [bleu.score(row) for row in sums], rtol=1e-12)


def test_statistics_of_no_sentences_have_no_rows() -> None:
    assert Bleu().statistics([[]], [[]]).shape == (1, 0, N_STATISTICS)
    assert corpus_bleu([], []) == 0.0


def test_unequal_sides_are_an_error_that_counts_them() -> None:
    with pytest.raises(DataError, match="1 translations for 2 references"):
        corpus_bleu(["a"], ["a", "b"])


def test_signature_is_sacrebleus() -> None:
    metric = sacrebleu.BLEU(tokenize="zh")
    metric.corpus_score(["a b c d"], [["a b c d"]])
    assert Bleu("zh").signature() == str(metric.get_signature())
    metric.corpus_score(["a b c d"], [["a b c d"]], n_bootstrap=50)
    assert Bleu("zh").signature(1, 50, 12345) == str(metric.get_signature())


@pytest.mark.parametrize(("language", "expected"), [("zh", "zh"), ("th", "char"), ("my", "char"), ("en", "13a")])
def test_tokenizer_of_a_language(language: str, expected: str) -> None:
    assert tokenizer_for(language) == expected


def test_the_japanese_tokenizer_works() -> None:
    assert Bleu(tokenizer_for("ja")).statistics([["私は猫です"]], [["私は猫です"]])[0, 0, 0] > 1


def test_evaluation_never_imports_torch() -> None:
    modules = (module.name for module in pkgutil.iter_modules(seq2attn.evaluation.__path__, "seq2attn.evaluation."))
    imports = ", ".join(modules)
    program = f"import sys, {imports}; sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
