"""An evaluation as files: summary.json, a table for spreadsheets, the figure, and the report in Markdown."""

from __future__ import annotations

import os
from pathlib import Path

from seq2attn.errors import disk_errors
from seq2attn.evaluation.summary import Summary
from seq2attn.report.content import ReportContent, report_blocks
from seq2attn.report.figure import draw_length_curve
from seq2attn.report.markdown import to_markdown
from seq2attn.report.tables import to_csv


def write_scores(summary: Summary, folder: Path) -> dict[str, Path]:
    """Write them into `folder`; the paths by what they are.

    Raises: RunError where that cannot be.
    """
    paths = {"summary": folder / "summary.json", "table": folder / "curve.csv"}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths["summary"].write_text(summary.to_json(), encoding="utf-8")
        paths["table"].write_text(to_csv(summary), encoding="utf-8")
        paths["figure"], paths["vector figure"] = draw_length_curve(summary, folder / "curve")
    return paths


def write_report(content: ReportContent, figure: Path, folder: Path) -> Path:
    """`report.md` in `folder`, which shows the picture at `figure`; its path."""
    address = Path(os.path.relpath(figure, folder)).as_posix()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.md"
    path.write_text(to_markdown(report_blocks(content, address)), encoding="utf-8")
    return path
