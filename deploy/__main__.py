"""`python -m deploy`: write the dashboards, and the chart's copies of them and of the alert rules.

Helm reads nothing outside of a chart. A unit test compares what is written with what this would write.
"""

from collections.abc import Mapping
from pathlib import Path

from deploy.dashboards import DASHBOARDS, rendered

HERE = Path(__file__).resolve().parent
RULES = HERE / "prometheus/alerts.yml"


def generated() -> Mapping[Path, str]:
    """Every generated file, with its text."""
    boards = {f"{board.uid}.json": rendered(board) for board in DASHBOARDS}
    chart = HERE / "helm/bellwire/files"
    return {
        **{HERE / "grafana" / name: text for name, text in boards.items()},
        **{chart / name: text for name, text in boards.items()},
        chart / RULES.name: RULES.read_text(encoding="utf-8"),
    }


if __name__ == "__main__":
    for file, text in generated().items():
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(HERE.parent))
