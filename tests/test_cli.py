import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import seq2attn
from seq2attn.results.summary import Summary
from tests.command_line import PATIENCE, PROGRAM, RNN_ATTENTION, call, spawn, tiny, wait_for, write

# The keys that other programs rely on; `summary.json` may contain more.
SUMMARY_KEYS = {"corpus", "split", "length_of", "machine", "command", "signature", "systems"}
SYSTEM_KEYS = {"name", "run", "kind", "attention", "parameters", "bleu", "bleu_low", "bleu_high", "buckets"}
BUCKET_KEYS = {"low", "high", "n", "bleu", "bleu_low", "bleu_high", "length_ratio"}
OUTPUTS = {"summary.json", "curve.csv", "curve.png", "curve.svg", "report.md", "report.html", "translations"}


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_the_version_is_the_package_s() -> None:
    assert call("--version").stdout == f"seq2attn {seq2attn.__version__}\n"


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from seq2attn.cli.app import app; app(['--help'], standalone_mode=False); "
        "sys.exit(', '.join({'torch', 'datasets', 'matplotlib', 'sacrebleu', 'pydantic'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for command in ("reproduce", "eval", "train", "translate", "data"):
        assert command in result.stdout


@pytest.mark.parametrize("command", [["reproduce"], ["eval"], ["train"], ["translate"], ["data", "fetch"]])
def test_every_command_has_help(command: list[str]) -> None:
    done = call(*command, "--help")
    assert done.code == 0
    assert f"seq2attn {' '.join(command)}" in done.stdout


class TestTrain:
    def test_the_run_folder_holds_what_the_documentation_promises(self, tiny_run: Path) -> None:
        names = {"config.yaml", "env.json", "subwords.model", "metrics.jsonl", "tensorboard", "checkpoints", "log.txt"}
        assert names <= {path.name for path in tiny_run.iterdir()}
        for checkpoint in (tiny_run / "checkpoints").glob("step_*"):
            files = {"model.safetensors", "state.pt", "manifest.json"}
            assert {path.name for path in checkpoint.iterdir()} == files

    def test_a_folder_with_a_run_is_not_overwritten(self, tiny_run: Path, data_folder: Path) -> None:
        done = call("train", RNN_ATTENTION, *tiny(data_folder), "--run-dir", tiny_run)
        assert done.code == 2
        assert "already holds a run" in done.complaint
        assert "--resume" in done.complaint

    def test_resume_says_where_it_starts_a_new_run(self, data_folder: Path, tmp_path: Path) -> None:
        words = [*tiny(data_folder), "--set", "train.max_steps=2", "--run-dir", tmp_path / "typo", "--resume"]
        done = call("train", RNN_ATTENTION, *words)
        assert (done.code, done.stdout) == (0, f"{tmp_path}/typo\n")
        assert f"{tmp_path}/typo: no run to resume; starting a new one" in done.stderr.splitlines()

    def test_sigint_keeps_a_checkpoint_and_resume_finishes(self, data_folder: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        words = ["train", RNN_ATTENTION, *tiny(data_folder), "--run-dir", run]
        process = start(*words, "--set", "train.max_steps=100000")
        wait_for(run / "checkpoints" / "step_10", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert b"run the same command with --resume to continue" in errors
        assert b"Traceback" not in errors
        steps = max(int(path.name.removeprefix("step_")) for path in (run / "checkpoints").iterdir())
        done = call(*words, "--resume", "--set", f"train.max_steps={steps + 5}")
        assert done.code == 0, done.stderr
        assert done.stdout == f"{run}\n"
        assert json.loads((run / "checkpoints" / "final" / "manifest.json").read_text())["step"] == steps + 5


class TestEval:
    def test_without_by_length_all_sentences_are_one_bucket(self, tiny_run: Path) -> None:
        (system,) = json.loads(call("eval", tiny_run, "--json").stdout)["systems"]
        assert [(bucket["low"], bucket["high"], bucket["n"]) for bucket in system["buckets"]] == [(0, None, 500)]

    def test_json_has_the_promised_keys_and_reads_back(self, tiny_run: Path) -> None:
        done = call("eval", tiny_run, "--by-length", "--json")
        assert done.code == 0, done.stderr
        summary = json.loads(done.stdout)
        assert summary.keys() >= SUMMARY_KEYS
        (system,) = summary["systems"]
        assert system.keys() >= SYSTEM_KEYS
        assert all(bucket.keys() >= BUCKET_KEYS for bucket in system["buckets"])
        assert [bucket["low"] for bucket in system["buckets"]] == [0, 10, 20, 30, 40, 50, 60]
        assert system["buckets"][-1]["high"] is None
        assert (system["kind"], system["attention"], system["run"]) == ("rnn", "general", str(tiny_run))
        assert summary["command"] == f"seq2attn eval {tiny_run} --by-length --json"
        assert Summary.from_json(done.stdout).to_json() == done.stdout

    def test_the_table_for_people_carries_the_signature_once(self, tiny_run: Path) -> None:
        done = call("eval", tiny_run, "--by-length", "--split", "validation")
        assert "60+" in done.stdout
        assert "synthetic, validation" in done.stdout
        assert done.stdout.count("nrefs:1|") == 1

    def test_bins_and_the_side_they_count_are_chosen(self, tiny_run: Path) -> None:
        done = call("eval", tiny_run, "--by-length", "--bins", "0,5,30", "--length-of", "reference", "--json")
        summary = json.loads(done.stdout)
        assert summary["length_of"] == "reference"
        assert [bucket["low"] for bucket in summary["systems"][0]["buckets"]] == [0, 5, 30]

    def test_out_gets_figure_tables_and_report(self, tiny_run: Path, tmp_path: Path) -> None:
        done = call("eval", tiny_run, "--out", tmp_path / "result", "--json")
        assert {path.name for path in (tmp_path / "result").iterdir()} == OUTPUTS
        assert (tmp_path / "result" / "summary.json").read_text() == done.stdout
        translations = {path.name for path in (tmp_path / "result" / "translations").iterdir()}
        assert translations == {"source.txt", "reference.txt", "1_rnn_attention.txt"}


class TestTranslate:
    # An empty line, a blank line, and U+2028 and U+0085 within a line: five lines in total.
    TEXT = "ba be bi\n\nbo\u2028bu\x85da\n   \nde di\n"

    def test_a_file_gives_one_output_line_per_input_line(self, tiny_run: Path, tmp_path: Path) -> None:
        together = call("translate", tiny_run, write(tmp_path / "text", self.TEXT)).stdout
        lines = together.removesuffix("\n").split("\n")
        assert len(lines) == 5
        assert (lines[1], lines[3]) == ("", "")
        for source, line in zip(self.TEXT.split("\n"), lines, strict=False):
            alone = call("translate", tiny_run, write(tmp_path / "line", f"{source}\n"))
            assert alone.stdout == f"{line}\n"

    def test_standard_input_is_the_default(self, tiny_run: Path, tmp_path: Path) -> None:
        from_file = call("translate", tiny_run, write(tmp_path / "text", self.TEXT))
        from_pipe = spawn("translate", tiny_run, stdin=self.TEXT.encode())
        assert (from_pipe.code, from_pipe.stderr) == (0, "")
        assert from_pipe.stdout == from_file.stdout

    def test_json_has_a_line_of_scored_translations_for_each_sentence(self, tiny_run: Path, tmp_path: Path) -> None:
        words = ["translate", tiny_run, write(tmp_path / "text", self.TEXT), "--beam", "3", "--n-best", "2"]
        records = [json.loads(line) for line in call(*words, "--json").stdout.splitlines()]
        assert [len(record) for record in records] == [2, 1, 2, 1, 2]
        assert records[0][0].keys() == {"text", "score", "log_probability", "tokens", "finished", "parts"}
        assert all(record[0]["score"] >= record[-1]["score"] for record in records)

    def test_text_has_n_best_lines_for_each_sentence(self, tiny_run: Path, tmp_path: Path) -> None:
        words = ["translate", tiny_run, write(tmp_path / "text", self.TEXT), "--beam", "3", "--n-best", "2"]
        records = [json.loads(line) for line in call(*words, "--json").stdout.splitlines()]
        padded = [([translation["text"] for translation in record] + [""])[:2] for record in records]
        assert [record[1] for record in (padded[1], padded[3])] == ["", ""]
        assert call(*words).stdout == "".join(f"{best}\n{second}\n" for best, second in padded)

    def test_in_bfloat16_scores_differ_by_its_rounding(self, tiny_run: Path, tmp_path: Path) -> None:
        # As many hypotheses as are multiplied in bfloat16.
        words = ["translate", tiny_run, write(tmp_path / "text", "ba be bi bo bu\n" * 64), "--beam", "3", "--json"]
        scores = {
            precision: [
                json.loads(line)[0]["score"] for line in call(*words, "--precision", precision).stdout.splitlines()
            ]
            for precision in ("float32", "bfloat16")
        }
        assert scores["bfloat16"] == pytest.approx(scores["float32"], abs=0.05)
        assert scores["bfloat16"] != scores["float32"]
        assert scores["float32"] == [json.loads(line)[0]["score"] for line in call(*words).stdout.splitlines()]

    def test_a_text_without_lines_is_reported(self, tiny_run: Path, tmp_path: Path) -> None:
        done = call("translate", tiny_run, write(tmp_path / "empty", ""))
        assert (done.code, done.stdout, done.stderr) == (0, "", "no lines to translate\n")

    def test_text_that_is_not_utf8_is_named_by_line(self, tiny_run: Path, tmp_path: Path) -> None:
        text = write(tmp_path / "text", b"ba\nbe \xff bi\n")
        done = call("translate", tiny_run, text)
        assert done.code == 2
        assert f"{text}:2: not valid UTF-8" in done.complaint

    def test_a_reader_that_leaves_early_sees_no_traceback(self, tiny_run: Path, tmp_path: Path) -> None:
        # More than a pipe buffers, so writing continues after the reader has exited.
        process = start("translate", tiny_run, write(tmp_path / "text", "ba be bi bo bu\n" * 4000))
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=PATIENCE) == 1
        assert errors == b""

    def test_a_terminal_gets_a_prompt_and_each_answer_at_once(self, tiny_run: Path) -> None:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*PROGRAM, "translate", str(tiny_run)], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.close(theirs)
        assert process.stdout is not None
        os.write(ours, b"ba be\n")
        answer = process.stdout.readline()
        os.write(ours, b"ba \xff be\nba be\n")
        after_a_bad_line = process.stdout.readline()
        os.write(ours, b"\x04")  # Ctrl-D
        rest, errors = process.communicate(timeout=PATIENCE)
        os.close(ours)
        assert process.returncode == 0
        assert answer.strip()
        # Only translations are in stdout, and the invalid line has none.
        assert answer + after_a_bad_line + rest == spawn("translate", tiny_run, stdin=b"ba be\nba be\n").stdout.encode()
        (prompt, *exchange) = errors.decode().splitlines()
        assert prompt.endswith("Ctrl-D to quit")
        assert exchange[0].endswith("line 2: not valid UTF-8 (byte 0xff at column 4); write the text as UTF-8")
        assert exchange[-1].endswith("> ")
