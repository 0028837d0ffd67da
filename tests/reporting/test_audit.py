"""The audit's page and its lines for a terminal hold every finding with its evidence."""

from __future__ import annotations

from pathlib import Path

from counterpoise.judging.audit import audit_paper
from counterpoise.papers.paper import load_paper
from counterpoise.reporting.audit import audit_lines, write_audit

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_every_finding_is_in_the_page(tmp_path):
    paper = load_paper(CONFIGS, "mmpareto")
    path = write_audit(paper, tmp_path)
    text = path.read_text()
    lines = list(audit_lines(paper, audit_paper(paper)))
    assert path.relative_to(tmp_path).as_posix() == "results/audit/mmpareto.md"
    for finding in audit_paper(paper):
        assert finding.finding in text
        assert finding.evidence in text
        place = lines.index(f"  {'*' if finding.notable else '-'} {finding.where}: {finding.finding}")
        assert lines[place + 1].strip() == finding.evidence
