from dataclasses import replace

import pytest

from seq2attn.config.languages import count_words, is_unspaced
from seq2attn.evaluation.lengths import length_unit, sentence_lengths
from seq2attn.evaluation.tokenizers import tokenizer_for
from tests.test_cleaning import RULES


def test_unspaced_text_is_counted_in_characters() -> None:
    assert count_words("the house is old", unspaced=False) == 4
    assert count_words("那所 房子", unspaced=True) == 4
    assert count_words("那所 房子", unspaced=False) == 2


@pytest.mark.parametrize("language", ["th", "km", "lo", "my", "fr", "ko"])
def test_cleaning_the_curve_and_bleu_agree_on_what_a_word_is(language: str) -> None:
    text = "ab cde  f"
    limited = replace(RULES, source_language=language).count_both(text, "")[0]
    (drawn,) = sentence_lengths([text], length_unit(language))
    assert limited == drawn == (6 if is_unspaced(language) else 3)
    assert tokenizer_for(language) == ("char" if is_unspaced(language) else "13a")
