"""SentencePiece subwords: training, saving, encoding and decoding."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import sentencepiece

from seq2attn.config.schema import SubwordsConfig
from seq2attn.data.cache import write_whole
from seq2attn.data.cleaning import normalise
from seq2attn.errors import ConfigError, DataError

if TYPE_CHECKING:
    import datasets

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3

Side = Literal["source", "target"]

# More text would hardly change the subwords, and SentencePiece holds all of it in memory.
_TRAINING_PAIRS = 1_000_000
_READ_ROWS = 10_000
_SAMPLE_SEED = 1

_ERRORS_OF_SENTENCEPIECE = (RuntimeError, ValueError, OSError)
_SEVERE_ONLY = 2


class Subwords:
    """One vocabulary for both languages (joint), or one for each. Ids 0 to 3 are always PAD, UNK, BOS and EOS."""

    def __init__(self, source_model: bytes, target_model: bytes | None = None, *, threads: int = -1) -> None:
        """`source_model`, `target_model`: serialized SentencePiece models; without the second, the first serves both.

        `threads`: of encoding and decoding; -1 for one on each core.

        Raises: DataError if a model is damaged or has other special ids.
        """
        self.joint = target_model is None
        self.models = (source_model,) if target_model is None else (source_model, target_model)
        """The serialized models: the source's first, the target's last."""
        processors = [_load_model(model, threads) for model in self.models]
        self._source, self._target = processors[0], processors[-1]

    @classmethod
    def train(cls, pairs: datasets.Dataset, config: SubwordsConfig, random_sample: bool = False) -> Subwords:
        """Subwords learned from the training `pairs` (columns "source" and "target"). Deterministic.

        Of more than a million pairs, a million at equal distances; with `random_sample`, one drawn (with a fixed seed)
        from each of a million equal stretches.

        Raises: ConfigError if the text allows no vocabulary of `config.vocab_size`, naming the size it allows;
        DataError if there are no pairs.
        """
        if not len(pairs):
            raise DataError("no training pairs to learn subwords from")
        sample = _sample(pairs, random_sample)
        if config.joint:
            return cls(_train_model(sample, ("source", "target"), config))
        return cls(_train_model(sample, ("source",), config), _train_model(sample, ("target",), config))

    @classmethod
    def load(cls, folder: Path) -> Subwords:
        """Subwords written by `save`.

        Raises: DataError if a file is missing or damaged.
        """
        names = file_names(joint=(folder / "subwords.model").is_file())
        try:
            return cls(*[(folder / name).read_bytes() for name in names])
        except FileNotFoundError as error:
            raise DataError(f"{folder}: has no subwords.model; is this a run folder?") from error
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error
        except DataError as error:
            raise DataError(f"{folder}: {' or '.join(names)} is {error}") from error

    def save(self, folder: Path) -> None:
        """Write `subwords.model`, or `subwords.source.model` and `subwords.target.model`, into `folder`."""
        for name, model in zip(file_names(self.joint), self.models, strict=True):
            write_whole(folder / name, model)

    @property
    def source_size(self) -> int:
        """Number of source subwords, the special ones included."""
        return int(self._source.vocab_size())

    @property
    def target_size(self) -> int:
        """Number of target subwords, the special ones included."""
        return int(self._target.vocab_size())

    @property
    def digest(self) -> str:
        """SHA-256 of the models."""
        return hashlib.sha256(b"".join(hashlib.sha256(model).digest() for model in self.models)).hexdigest()

    def encode_source(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, which is normalised first; EOS is the last."""
        return self._source.encode([normalise(text) for text in texts], add_eos=True)

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, which is normalised first, without BOS and EOS."""
        return self._target.encode([normalise(text) for text in texts])

    def decode_target(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of ids, without line ends; PAD, BOS and EOS decode to nothing."""
        # Byte subwords can spell any character, even a line end.
        return [normalise(text) for text in self._target.decode([list(sentence) for sentence in ids])]

    def pieces(self, ids: Sequence[int], side: Side) -> list[str]:
        """The subwords with these ids; U+2581 stands for a space."""
        return self._processor(side).id_to_piece(list(ids))

    def scores(self, side: Side) -> list[float]:
        """The score of each subword, by which encoding chooses among them: 32-bit floats in their fewest digits."""
        processor = self._processor(side)
        return [float(str(np.float32(processor.get_score(token_id)))) for token_id in range(processor.vocab_size())]

    def first_byte(self, side: Side) -> int | None:
        """The id of the subword for byte 0, which those for all other bytes follow; None without bytes."""
        processor = self._processor(side)
        return next((token_id for token_id in range(processor.vocab_size()) if processor.is_byte(token_id)), None)

    def _processor(self, side: Side) -> sentencepiece.SentencePieceProcessor:
        return self._source if side == "source" else self._target


def file_names(joint: bool) -> list[str]:
    """The names of the files that `Subwords.save` writes: the source's first, the target's last."""
    return ["subwords.model"] if joint else ["subwords.source.model", "subwords.target.model"]


def _load_model(model: bytes, threads: int) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor(num_threads=threads)
    try:
        processor.LoadFromSerializedProto(model)
    except _ERRORS_OF_SENTENCEPIECE as error:
        raise DataError("not a valid SentencePiece model") from error
    special = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
    if special != (PAD_ID, UNK_ID, BOS_ID, EOS_ID):
        raise DataError(f"a SentencePiece model with PAD, UNK, BOS, EOS as ids {special}; expected 0, 1, 2, 3")
    return processor


def _sample(pairs: datasets.Dataset, random: bool) -> datasets.Dataset:
    if random and len(pairs) > _TRAINING_PAIRS:
        ends = np.arange(1, _TRAINING_PAIRS + 1) * len(pairs) // _TRAINING_PAIRS
        return pairs.select(np.random.default_rng(_SAMPLE_SEED).integers(ends - np.diff(ends, prepend=0), ends))
    return pairs.select(range(0, len(pairs), -(-len(pairs) // _TRAINING_PAIRS)))


def _train_model(sample: datasets.Dataset, columns: Sequence[Side], config: SubwordsConfig) -> bytes:
    """A serialized SentencePiece model of the text in `columns`."""
    alphabet: set[str] = set()
    for text in _texts(sample, columns):
        alphabet.update(text)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_texts(sample, columns),
            model_writer=model,
            vocab_size=config.vocab_size,
            model_type=config.kind,
            byte_fallback=config.byte_fallback,
            # Thousands of characters would crowd out the subwords, so the rarest are left to bytes or UNK.
            character_coverage=1.0 if len(alphabet) <= config.vocab_size // 4 else 0.9995,
            pad_id=PAD_ID,
            unk_id=UNK_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            # The text is already normalised.
            normalization_rule_name="identity",
            # In bytes. SentencePiece skips longer lines, and its default is shorter than some paragraphs.
            max_sentence_length=2**20,
            # Fixed, because floating-point sums depend on how the text is divided among threads.
            num_threads=4,
            minloglevel=_SEVERE_ONLY,
        )
    except _ERRORS_OF_SENTENCEPIECE as error:
        raise _explain(str(error), columns, config) from error
    return model.getvalue()


def _texts(pairs: datasets.Dataset, columns: Sequence[Side]) -> Iterator[str]:
    for rows in pairs.iter(_READ_ROWS):
        for column in columns:
            yield from rows[column]


def _explain(message: str, columns: Sequence[Side], config: SubwordsConfig) -> ConfigError | DataError:
    text = f"the {' and '.join(columns)} text"
    if most := re.search(r"value <= (\d+)", message):
        return ConfigError(
            f"subwords.vocab_size: {config.vocab_size} is more than {text} allows; use at most {most[1]}, as in "
            f"--set subwords.vocab_size={most[1]}"
        )
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        spelled = " (256 of them bytes: see subwords.byte_fallback)" if config.byte_fallback else ""
        return ConfigError(
            f"subwords.vocab_size: {config.vocab_size} is too few for the characters of {text}; "
            f"at least {least[1]}{spelled} are needed"
        )
    return DataError(f"SentencePiece cannot learn from {text}: {' '.join(message.split())[:200]}")
