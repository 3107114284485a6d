"""The files of an evaluation: summary.json, curve.csv, the figure, report.md"""

from __future__ import annotations

import os
from pathlib import Path

from seq2attn.errors import disk_errors
from seq2attn.plots.figure import draw_length_curve
from seq2attn.report.content import ReportContent, report_blocks
from seq2attn.report.markdown import to_markdown
from seq2attn.report.tables import to_csv
from seq2attn.results.summary import Summary


def write_scores(summary: Summary, folder: Path) -> dict[str, Path]:
    """Write summary, table and figure into `folder`; returns their paths by name.

    Raises: DiskError where the folder cannot be written.
    """
    paths = {"summary": folder / "summary.json", "table": folder / "curve.csv"}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths["summary"].write_text(summary.to_json(), encoding="utf-8")
        paths["table"].write_text(to_csv(summary), encoding="utf-8")
        paths["figure"], paths["vector figure"] = draw_length_curve(summary, folder / "curve")
    return paths


def write_report(content: ReportContent, figure: Path, folder: Path) -> Path:
    """Write `report.md` into `folder`, with the picture at `figure`; returns its path."""
    address = Path(os.path.relpath(figure, folder)).as_posix()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.md"
    path.write_text(to_markdown(report_blocks(content, address)), encoding="utf-8")
    return path
