"""The model card of a run, `README.md` in its folder

It is generated from the other files of the folder when a training starts and ends, and after each evaluation. Its
outline follows Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seq2attn.config.schema import Config
from seq2attn.corpora.catalog import count_pairs, describe_origin
from seq2attn.data.cache import write_whole
from seq2attn.data.store import OWN
from seq2attn.errors import disk_errors
from seq2attn.evaluation.metrics import Bleu
from seq2attn.evaluation.tokenizers import tokenizer_for
from seq2attn.report.markdown import Block, Code, Heading, Paragraph, Table, to_markdown
from seq2attn.report.tables import interval_text
from seq2attn.runs.checkpoint import read_manifest
from seq2attn.runs.folder import RunFolder
from seq2attn.runs.scores import KeptScore, read_scores


@dataclass(frozen=True)
class _Facts:
    """What a run's folder holds."""

    folder: RunFolder
    config: Config
    env: Mapping[str, Any]
    """As `RunFolder.read_env` returns it."""
    final: Mapping[str, Any] | None
    """The manifest of the final weights; None until the training is finished."""
    scores: list[KeptScore]


def write_card(folder: RunFolder) -> None:
    """Write the card of the run in `folder`, if it has changed.

    Raises: CheckpointError where the final weights are damaged; DiskError where the card cannot be written.
    """
    card = card_text(folder)
    if not folder.card_file.is_file() or folder.card_file.read_text(encoding="utf-8") != card:
        with disk_errors(folder.path):
            write_whole(folder.card_file, card.encode())


def card_text(folder: RunFolder) -> str:
    """The card of the run in `folder`, as Markdown.

    Raises: CheckpointError where the final weights are damaged.
    """
    final = read_manifest(folder.final) if folder.finished else None
    return to_markdown(_blocks(_Facts(folder, folder.read_config(), folder.read_env(), final, read_scores(folder))))


def _blocks(facts: _Facts) -> list[Block]:
    return [
        Heading(str(facts.config.name or facts.folder.path.name), 1),
        *_introduction(facts),
        Heading("Model", 2),
        _model(facts),
        Heading("Data", 2),
        *_data(facts),
        Heading("Training", 2),
        _training(facts),
        Heading("Scores", 2),
        *_scores(facts),
        Heading("Intended use and limits", 2),
        *_use(facts),
        Heading("How to reproduce it", 2),
        *_reproduction(facts),
    ]


def _introduction(facts: _Facts) -> list[Block]:
    model, env = facts.config.model, facts.env
    source, target, version = (env.get(key, "–") for key in ("source_language", "target_language", "seq2attn"))
    what = f"A sequence-to-sequence model (kind: {model.kind}, attention: {model.attention})"
    made = f"translates from {source} to {target}, trained by seq2attn {version} on {_corpus_name(facts)}"
    blocks: list[Block] = [Paragraph(f"{what} that {made}.")]
    if facts.final is None:
        blocks.append(Paragraph("The training is not finished yet. This page is updated when it is."))
    return blocks


def _model(facts: _Facts) -> Table:
    subwords = facts.config.subwords
    vocabulary = "one vocabulary for both languages" if subwords.joint else "a vocabulary for each language"
    rows = {
        "parameters": f"{facts.env['parameters']:,}" if "parameters" in facts.env else "–",
        **{key: _in_yaml(value) for key, value in facts.config.model.model_dump().items()},
        "subwords": f"{subwords.vocab_size:,} ({subwords.kind}, {vocabulary})",
    }
    if facts.final is not None:
        rows["sha256 of the weights"] = facts.final["files"]["model.safetensors"]
    return Table(("model", ""), tuple(rows.items()), numeric=False)


def _data(facts: _Facts) -> list[Block]:
    data, name = facts.config.data, str(facts.env.get("corpus", OWN))
    if name == OWN:
        files = {split: _in_yaml(getattr(data, split)) for split in ("train", "validation", "test")}
        rows = {**files, "licence": "that of the files, which is unknown here"}
    else:
        rows = {"corpus": name, **describe_origin(name)}
    rows["sha256 of the pairs after cleaning"] = str(facts.env.get("corpus_digest", "–"))
    blocks: list[Block] = [Table(("data", ""), tuple(rows.items()), numeric=False)]
    if counts := count_pairs(facts.env.get("corpus_counts", {})):
        names = tuple(dict.fromkeys(name for of_split in counts.values() for name in of_split))
        cells = ((split, *(f"{of_split.get(name, 0):,}" for name in names)) for split, of_split in counts.items())
        blocks.append(Table(("pairs", *names), tuple(cells)))
    return blocks


def _training(facts: _Facts) -> Table:
    train = facts.config.train
    limits = train.model_dump(include={"max_steps", "max_epochs", "max_minutes"}, exclude_none=True)
    rows = {
        "budget": ", ".join(f"{key} {limit:g}" for key, limit in limits.items()),
        "seed": str(train.seed),
        "maximum tokens per batch": f"{train.batch_tokens:,}",
        "peak learning rate": f"{train.learning_rate:g}",
        "machine": str(facts.env.get("machine", "–")),
    }
    if (final := facts.final) is not None:
        rows |= {
            "updates": f"{final['step']:,}",
            "target tokens": f"{final['target_tokens']:,}",
            "minutes, including validation": f"{final['seconds'] / 60:.1f}",
            "final weights": str(final["weights"]),
        }
    return Table(("training", ""), tuple(rows.items()), numeric=False)


def _scores(facts: _Facts) -> list[Block]:
    rows = [
        (
            f"{score.metric}, beam {score.beam_size}",
            f"{score.split}, {score.sentences:,} sentences",
            interval_text(score.value, score.low, score.high),
            score.signature,
        )
        for score in facts.scores
    ]
    if facts.final is not None:
        rows += _validation_rows(facts, facts.final)
    blocks: list[Block] = []
    if rows:
        blocks.append(Table(("score", "of", "value", "signature"), tuple(rows), numeric=False))
    if facts.scores:
        drawn = " or ".join(sorted({score.resample for score in facts.scores}))
        blocks.append(
            Paragraph(f"Intervals contain 95 % of bootstrap resamples of the {drawn}; they do not cover other seeds.")
        )
    else:
        blocks += [
            Paragraph("Not evaluated on the test sentences yet. This command evaluates it and adds the scores here:"),
            Code(shlex.join(["seq2attn", "eval", str(facts.folder.path), "--by-length"])),
        ]
    return blocks


def _validation_rows(facts: _Facts, final: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Validation loss and greedy BLEU of the final weights, as measured in training."""
    rows = [("loss, nats per target token", "validation, all sentences", f"{final['validation_loss']:.3f}", "–")]
    if final["validation_bleu"] is not None:
        signature = Bleu(tokenizer_for(str(facts.env.get("target_language", "")))).signature()
        of = f"validation, up to {facts.config.train.validation_sentences:,} sentences"
        rows.append(("BLEU, greedy", of, f"{final['validation_bleu']:.1f}", signature))
    return rows


def _use(facts: _Facts) -> list[Block]:
    data = facts.config.data
    cap = (
        ""
        if data.max_source_words is None
        else f" It was trained on sentences of at most {data.max_source_words} words and is worse on longer ones."
    )
    return [
        Paragraph(
            "This model is meant for comparison with others on the same text: how translation quality depends on "
            "sentence length and on attention. Do not rely on its translations, least of all where a mistake does harm."
        ),
        Paragraph(
            f"It has learned only from {_corpus_name(facts)}, including the style, errors and bias of this text. "
            "Its scores say little about other text. It can omit, repeat and invent content in fluent sentences, more "
            f"often so for long sources.{cap}"
        ),
        Paragraph(
            "It is one training with one seed; another seed gives another score. Its translations have not been "
            "checked for bias, offence or private data. To share it, follow the licence of its data."
        ),
    ]


def _reproduction(facts: _Facts) -> list[Block]:
    path, env = facts.folder.path, facts.env
    if "pruned_by" in env:
        removed = "Heads were removed from another run after its training, whose numbers are above, by"
        return [Paragraph(removed), Code(f"{env['pruned_by']} --out {shlex.quote(f'{path}-again')}")]
    command = ["seq2attn", "train", str(facts.folder.config_file), "--run-dir", f"{path}-again"]
    if "starts_from" in env:
        command += ["--start-from", str(env["starts_from"])]
    same = (
        "With a budget in minutes, the number of updates depends on the machine, so the scores will differ."
        if facts.config.train.max_minutes is not None
        else "On the same machine with as many threads, the result is identical bit for bit."
    )
    return [
        Code(shlex.join(command)),
        Paragraph(f"With seq2attn {env.get('seq2attn', '–')} and torch {env.get('torch', '–')}. {same}"),
    ]


def _corpus_name(facts: _Facts) -> str:
    name = str(facts.env.get("corpus", OWN))
    return "the user's own files" if name == OWN else name


def _in_yaml(value: object) -> str:
    """A setting in YAML's notation."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
