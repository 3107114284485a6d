from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from seq2attn.data.files import Role, read_sentences
from seq2attn.errors import DataError
from tests.command_line import write


def test_only_a_line_feed_ends_a_plain_line(tmp_path: Path) -> None:
    text = "\ufeffa b\r\nc\u2028d\x85e\n\n f \n"
    expected = ["a b", "c\u2028d\x85e", "", " f "]
    assert list(read_sentences(write(tmp_path / "plain.txt", text), "source")) == expected
    assert list(read_sentences(write(tmp_path / "zipped.de.gz", gzip.compress(text.encode())), "source")) == expected


@pytest.mark.parametrize(
    ("role", "record"),
    [
        ("source", {"source": "this", "target": "that"}),
        ("source", {"text": "this"}),
        ("reference", {"source": "that", "target": "this"}),
        ("reference", {"reference": "this", "target": "that", "text": "that"}),
        ("hypothesis", {"translation": "this", "source": "that"}),
        ("hypothesis", {"text": "this", "score": -1.5}),
        ("hypothesis", [{"text": "this", "score": -1.5}, {"text": "that", "score": -2.0}]),
        ("hypothesis", "this"),
    ],
)
def test_jsonl_is_read_by_the_keys_of_the_role(role: Role, record: object, tmp_path: Path) -> None:
    text = f"{json.dumps(record)}\n\n"
    assert list(read_sentences(write(tmp_path / "t.jsonl", text), role)) == ["this", ""]
    assert list(read_sentences(write(tmp_path / "t.jsonl.gz", gzip.compress(text.encode())), role)) == ["this", ""]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"source": "a"}', "found source; expected one of hypothesis, translation, text"),
        ("{}", "found nothing; expected one of hypothesis"),
        ("[]", "expected a text, or an object with one of hypothesis"),
        ("3", "expected a text, or an object"),
        ('{"text": 3}', "text is int; expected text"),
        ("{", "not valid JSON"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", f'"fine"\n{line}\n')
    with pytest.raises(DataError, match=message) as caught:
        list(read_sentences(file, "hypothesis"))
    assert str(caught.value).startswith(f"{file}:2: ")
