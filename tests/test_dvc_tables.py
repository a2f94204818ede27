"""What DVC shows of the models fits a terminal, and its pages ask no other host."""

import json
import re
from pathlib import Path

from dvc.compare import metrics_table
from ruamel.yaml import YAML

from genmint.config import load_params

ROOT = Path(__file__).parents[1]
GRAPH = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
PARAMS = load_params(ROOT / "params.yaml")
PLOTS = ROOT / ".dvc/plots"


def test_the_headline_numbers_are_the_only_metrics_of_dvc():
    metrics = [path for stage in GRAPH.values() for path in stage["do"].get("metrics", ())]
    assert metrics == ["metrics/${key}.yaml"]
    outs = [path for stage in GRAPH.values() for path in stage["do"].get("outs", ())]
    for path in ("metrics/${key}.json", "metrics/${key}.cost.json", "reports/gates/${key}.json"):
        assert path in outs


def test_the_table_of_the_shipped_models_fits_160_columns(capsys):
    data = {}
    for name, gate in PARAMS.gates.items():
        names = [*gate.thresholds, *gate.champion.superior, *gate.champion.non_inferior]
        row = {"failed": 10} | dict.fromkeys(names, -123.45678)
        data[f"metrics/{name}.yaml"] = {"data": row}
    table = metrics_table({"": {"data": data}}, precision=5, round_digits=True)
    table.render()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(PARAMS.gates)
    assert max(map(len, lines)) <= 160


def test_losses_and_margins_have_their_templates():
    used = [
        props["template"]
        for stage in GRAPH.values()
        for plot in stage["do"].get("plots", ())
        if not isinstance(plot, str)
        for props in plot.values()
    ]
    assert used == ["losses", "margins"]
    losses = json.loads((PLOTS / "losses.json").read_text())
    assert {"train_loss", "validation_loss"} <= set(losses["transform"][0]["fold"])
    assert json.loads((PLOTS / "margins.json").read_text())["mark"]["type"] == "bar"


def test_the_page_of_plots_asks_no_other_host():
    assert "html_template = plots/page.html" in (ROOT / ".dvc/config").read_text()
    page = (PLOTS / "page.html").read_text()
    assert "{plot_divs}" in page
    # With it DVC would put the tags of its drawing library here.
    assert "{scripts}" not in page
    assert not re.search(r"(src|href)\s*=|@import|fetch\(|url\(", page)


def test_the_page_is_ignored_by_git():
    assert "/dvc_plots/" in (ROOT / ".gitignore").read_text().splitlines()
