"""The study of alignment: weights between words, gold standards, heads, and the command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seq2attn.attention.alignment import word_weights, words_of_subwords
from seq2attn.attention.words import Tokens
from seq2attn.config.load import dump_config, load_config
from seq2attn.data.pharaoh import GoldLinks
from seq2attn.data.subwords import Subwords
from seq2attn.device import choose_device
from seq2attn.errors import DataError
from seq2attn.evaluation.word_alignment import error_rates, flip
from seq2attn.runs.checkpoint import weights_of
from seq2attn.runs.folder import load_run
from seq2attn.studies.alignment import aligners
from seq2attn.studies.alignment.gold import Gold, GoldFiles, gold_of_files, synthetic_gold
from seq2attn.studies.alignment.study import AlignmentStudy
from seq2attn.studies.alignment.views import Checkpoint, training_panel
from seq2attn.studies.heads.links import HeadCounts, count_heads, over_training
from tests.command_line import CONFIGS, call, train_tiny, write


@pytest.fixture(scope="module")
def gold(data_folder: Path) -> Gold:
    return synthetic_gold(str(data_folder)).first(8)


@pytest.fixture(scope="module")
def transformer_run(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transformer")
    config = load_config(
        CONFIGS / "smoke" / "transformer.yaml",
        ["model.d_model=16", "train.max_minutes=", "train.max_steps=12", "train.checkpoint_every_steps=4"],
    )
    data = config.data.model_copy(update={"folder": str(data_folder)})
    train = config.train.model_copy(update={"validation_sentences": 0, "keep_checkpoints": 4})
    file = write(folder / "t.yaml", dump_config(config.model_copy(update={"data": data, "train": train})))
    done = call("train", file, "--run-dir", folder / "run")
    assert done.code == 0, done.stderr
    return folder / "run"


def quiet(name: str, finished: int, total: int) -> None:
    """Show nothing."""


def test_subwords_are_grouped_into_the_words_of_the_gold_standard(tiny_run: Path, gold: Gold) -> None:
    subwords = Subwords.load(tiny_run)
    for pair in gold.pairs:
        tokens = words_of_subwords(subwords, pair.source, pair.source_words, "source")
        (ids,) = subwords.encode_source([pair.source])
        assert list(tokens.subwords) == subwords.pieces(ids[:-1], "source")
        assert set(tokens.word_of) == set(range(len(pair.source_words)))
        (written,) = subwords.encode_target([pair.target])
        assert len(words_of_subwords(subwords, pair.target, pair.target_words, "target").word_of) == len(written)


def test_words_separated_by_spaces_keep_their_punctuation_and_unknown_characters(tiny_run: Path) -> None:
    subwords = Subwords.load(tiny_run)
    tokens = words_of_subwords(subwords, "noruto, 神! lipa", ["noruto,", "神!", "lipa"], "source")
    assert set(tokens.word_of) == {0, 1, 2}


@pytest.mark.parametrize("words", [["noruto"], ["noruto", "lipa", "x"], ["noru", "to", "lipa"], ["norutolipa"]])
def test_words_that_are_not_those_of_the_text_are_refused(tiny_run: Path, words: list[str]) -> None:
    with pytest.raises(DataError):
        words_of_subwords(Subwords.load(tiny_run), "noruto lipa", words, "source")


def test_weights_are_read_where_a_word_is_written_and_where_it_is_read() -> None:
    # Rows: a1, a2 (one word), b, EOS; columns: x, y, EOS.
    rows = np.array([[[[0.6, 0.2, 0.2], [0.2, 0.4, 0.4], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]]]])
    source, target = Tokens(("x", "y"), ("x", "y"), (0, 1)), Tokens(("a", "a", "b"), ("aa", "b"), (0, 0, 1))
    np.testing.assert_allclose(word_weights(rows, source, target, "output")[0, 0], [[0.4, 0.3], [0.1, 0.8]])
    np.testing.assert_allclose(word_weights(rows, source, target, "input")[0, 0], [[0.15, 0.6], [0.0, 0.3]])


def counted(run: Path, gold: Gold) -> HeadCounts:
    return count_heads("a run", load_run(run, choose_device("cpu")), gold.pairs, False, quiet)


def test_every_head_of_a_transformer_is_counted(transformer_run: Path, gold: Gold) -> None:
    heads = counted(transformer_run, gold)
    per_layer = ["mean", "head 1", "head 2", "head 3", "head 4"]
    assert heads.heads == tuple(f"layer {layer} {name}" for layer in (1, 2) for name in per_layer)
    n_links = sum(len(pair.links.sure) for pair in gold.pairs)
    for reading in ("output", "input"):
        for candidate in heads.by_argmax(reading):
            # Each target word gets one link, and the gold standard has one for each.
            assert candidate.counts.sum(axis=0)[[0, 3]].tolist() == [n_links, n_links]
        assert len(heads.by_threshold(reading)) == 10 * 6
    assert len(heads.best_links()) == len(gold.pairs)
    assert heads.best_counts().shape == (len(gold.pairs), 4)


def test_links_of_a_chosen_head_have_its_counts(transformer_run: Path, gold: Gold) -> None:
    heads = counted(transformer_run, gold)
    for links, pair, counts in zip(heads.best_links(), gold.pairs, heads.best_counts(), strict=True):
        assert len(links & pair.links.sure) == counts[1]


def test_checkpoints_are_counted_and_the_final_weights_restored(transformer_run: Path, gold: Gold) -> None:
    run = load_run(transformer_run, choose_device("cpu"))
    before = {name: weight.clone() for name, weight in weights_of(run.model).items()}
    heads = count_heads("a run", run, gold.pairs, False, quiet)
    found = dict(over_training(heads, run, gold.pairs, quiet))
    assert list(found) == run.folder.steps()
    assert len(found) >= 2
    assert all((weights_of(run.model)[name] == weight).all() for name, weight in before.items())


def test_the_curve_over_training_is_the_mean_over_seeds(tiny_run: Path, gold: Gold) -> None:
    found = counted(tiny_run, gold.first(4))
    wrong = replace(
        found, argmax={read: [each * [1, 0, 0, 1] for each in heads] for read, heads in found.argmax.items()}
    )
    one = training_panel([Checkpoint("RNN", 20, found)], 4)
    two = training_panel([Checkpoint("RNN, seed 1", 20, found), Checkpoint("RNN, seed 2", 20, wrong)], 4)
    assert [series.name for series in two.series] == ["RNN, output", "RNN, input"]
    for alone, both in zip(one.series, two.series, strict=True):
        assert [point.y for point in both.points] == [pytest.approx((point.y + 1.0) / 2) for point in alone.points]


def test_the_synthetic_gold_standard_is_exact_in_both_directions(gold: Gold) -> None:
    for pair, other in zip(gold.pairs, gold.flipped().pairs, strict=True):
        assert len(pair.links.sure) == len(pair.source_words) == len(pair.target_words)
        assert (other.source, other.source_words) == (pair.target, pair.target_words)
        assert flip(other.links.sure) == pair.links.sure


def write_gold(folder: Path, links: str) -> GoldFiles:
    texts = {"gold.txt": links, "source.txt": "noruto lipa\n\nTuse .\n", "target.txt": "zody jaga bado\n\nGihy .\n"}
    paths = [write(folder / name, text) for name, text in texts.items()]
    return GoldFiles(*paths)


def test_gold_files_are_read_without_empty_pairs(tmp_path: Path) -> None:
    gold = gold_of_files(write_gold(tmp_path, "0-0 1?2\n\n0-0 1-1\n"))
    assert [pair.source_words for pair in gold.pairs] == [("noruto", "lipa"), ("Tuse", ".")]
    assert gold.pairs[0].links == GoldLinks(frozenset({(0, 0)}), frozenset({(1, 2)}))


def options_of(files: GoldFiles) -> list[str | Path]:
    return ["--gold", files.links, "--source", files.source, "--target", files.target]


def test_the_command_measures_a_run_against_the_users_own_links(tiny_run: Path, tmp_path: Path) -> None:
    files = write_gold(tmp_path, "0-0 1?2\n\n0-0 1-1\n")
    done = call("study", "alignment", tiny_run, *options_of(files), "--json", "--out", tmp_path / "out")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))
    # The claim about the made-up language is not judged on other text, and two sentences have no interval.
    assert [claim["claim"]["name"] for claim in result["claims"]] == ["rnn-off-by-one"]
    assert "diagonal" in {row[0] for row in result["tables"][0]["rows"]}
    assert (tmp_path / "out" / "figure.png").is_file()


def test_a_link_outside_its_sentence_names_file_and_line(tiny_run: Path, tmp_path: Path) -> None:
    files = write_gold(tmp_path, "1-1 2-3\n\n1-1 2-2\n")
    done = call("study", "alignment", tiny_run, *options_of(files), "--out", tmp_path / "out")
    assert done.code == 2
    assert done.complaint.startswith(f"seq2attn: {files.links}:1: link 2-3 names source word 2")
    assert "--one-based" in done.complaint
    done = call("study", "alignment", tiny_run, *options_of(files), "--one-based", "--out", tmp_path / "out")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "found"),
    [(["--one-based"], "give all three, or none"), (["--preset", "smoke"], "give either runs, or --preset")],
)
def test_options_that_do_not_fit_are_refused(tiny_run: Path, tmp_path: Path, options: list[str], found: str) -> None:
    done = call("study", "alignment", tiny_run, *options, "--out", tmp_path / "out")
    assert done.code == 2
    assert found in done.complaint


def test_a_run_without_weights_or_without_known_alignment_says_why(
    tiny_run: Path, data_folder: Path, tmp_path: Path
) -> None:
    fixed = train_tiny(tmp_path / "fixed", data_folder, "--set", "model.attention=none")
    done = call("study", "alignment", fixed, "--out", tmp_path / "out")
    assert (done.code, "a fixed context has no attention weights" in done.complaint) == (2, True)
    other = shutil.copytree(tiny_run, tmp_path / "other")
    config = load_config(other / "config.yaml", ["data.corpus=multi30k-de-en"])
    (other / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    done = call("study", "alignment", other, "--out", tmp_path / "out")
    assert (done.code, "no alignment is known of multi30k-de-en; give --gold" in done.complaint) == (2, True)


def test_without_eflomal_the_diagonal_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligners, "find_spec", lambda name: None)
    assert aligners.eflomal_links([(["a"], ["b"])]) is None


def test_eflomal_aligns_words_that_always_occur_together() -> None:
    pytest.importorskip("eflomal")
    pairs = [(f"{one} {other}".split(), f"{other.upper()} {one.upper()}".split()) for one in "abcd" for other in "efgh"]
    links = aligners.eflomal_links(pairs * 10)
    assert links is not None
    assert {frozenset({(0, 1), (1, 0)})} == set(links)


def test_both_presets_are_valid_configurations() -> None:
    for preset, n_models in (("smoke", 3), ("quick", 4)):
        configs = AlignmentStudy().configs(preset)
        assert len(configs) == n_models
        assert {config.data.corpus for config in configs.values()} == {"synthetic"}
        assert len({config.name for config in configs.values()}) == n_models


@pytest.mark.slow
def test_the_smoke_preset_judges_every_claim(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQ2ATTN_DATA", str(data_folder))
    done = call("study", "alignment", "--preset", "smoke", "--json", "--out", tmp_path)
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    about_natural_text = {"better-than-diagonal", "worse-than-aligner"}
    expected = [claim.name for claim in AlignmentStudy.claims if claim.name not in about_natural_text]
    assert [claim["claim"]["name"] for claim in result["claims"]] == expected
    assert any("both directions" in row[0] for row in result["tables"][0]["rows"])
    assert {panel["title"].split()[0] for panel in result["panels"]} == {"Best", "Over"}


def test_error_rates_of_a_run_are_those_of_its_heads(tiny_run: Path, gold: Gold) -> None:
    heads = counted(tiny_run, gold)
    assert heads.heads == ("the only one",)
    assert 0.0 <= float(error_rates(heads.argmax["output"][0].sum(axis=0))) <= 1.0
