"""Scores as files: summary.json, a table for spreadsheets, and the figure."""

from __future__ import annotations

from pathlib import Path

from seq2attn.errors import disk_errors
from seq2attn.evaluation.summary import Summary
from seq2attn.report.figure import draw_length_curve
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
