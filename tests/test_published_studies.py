"""The studies under docs/studies/: their claims are those of the code, and docs/studies.md says what they found"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from scripts.make_docs import STUDIES, claims_table, studies_page
from seq2attn.studies.alignment.study import AlignmentStudy
from seq2attn.studies.cost.study import CostStudy
from seq2attn.studies.distance.study import DistanceStudy
from seq2attn.studies.effects.study import EffectsStudy
from seq2attn.studies.heads.study import HeadsStudy
from seq2attn.studies.order import OrderStudy
from seq2attn.studies.parallel.study import ParallelStudy
from seq2attn.studies.scaling.study import ScalingStudy

PUBLISHED = sorted(path.parent for path in (STUDIES.parent / "studies").glob("*/study.json"))
KINDS = (
    *(AlignmentStudy, CostStudy, DistanceStudy, EffectsStudy),
    *(HeadsStudy, OrderStudy, ParallelStudy, ScalingStudy),
)
CLAIMS = {(study.name, claim.name): claim for study in KINDS for claim in study.claims}


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_a_published_claim_is_the_one_in_the_code(folder: Path) -> None:
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert study["claims"]
    for judged in study["claims"]:
        known = dataclasses.asdict(CLAIMS[study["study"], judged["claim"]["name"]])
        assert judged["claim"] == known


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_a_published_study_has_all_its_files_and_no_path_of_a_machine(folder: Path) -> None:
    names = {"study.json", "study.md", "table.md", "figure.png", "figure.svg"}
    assert {path.name for path in folder.iterdir()} == names
    page = (folder / "study.md").read_text(encoding="utf-8")
    assert not re.search(r"(^|[ (`\"])/\w", page), "an absolute path"
    assert f"--out docs/studies/{folder.name}" in page


def test_the_page_of_studies_has_the_verdicts_of_all_that_are_published() -> None:
    page = STUDIES.read_text(encoding="utf-8")
    assert page == studies_page(page), "run scripts/make_docs.py"
    for folder in PUBLISHED:
        assert claims_table(folder) in page
        assert f"(studies/{folder.name}/figure.png)" in page
