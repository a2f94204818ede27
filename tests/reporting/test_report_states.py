"""The report with real registries: two models are never mixed, whatever the alias points to."""

import json
import re

import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.common.files import write_json
from genmint.reporting.report import write_report


def page_of(workshop):
    return write_report(workshop.project, workshop.params).read_text()


def overview(page, name="tiny"):
    """The badges of one model in the overview, as (style, text)."""
    part = page.split(f'class="name" href="#{name}"')[1].split("</li>")[0]
    return re.findall(r'<span class="badge (\w+)">([^<]+)</span>', part)


def client(workshop):
    return MlflowClient(tracking.uri(workshop.project))


def move_to(workshop, number):
    store = client(workshop)
    if number is None:
        store.delete_registered_model_alias("tiny", "champion")
    else:
        store.set_registered_model_alias("tiny", "champion", number)


FILES = [("plain", "version 4"), ("yes", "passed its gate")]


@pytest.mark.parametrize(
    ("alias", "against", "champion"),
    [
        ("1", "not compared with version 1", ("warn", "version 1, moved by hand")),
        ("3", "not compared with version 3",
         ("no", "version 3 may not be champion: it failed its gate")),
        ("4", "is the champion", ("warn", "version 4, moved by hand")),
        (None, "no champion to compare with", ("no", "none: the alias was removed by hand")),
    ],
)  # fmt: skip
def test_an_alias_moved_by_hand(stocked, alias, against, champion):
    move_to(stocked, alias)
    page = page_of(stocked)
    assert overview(page) == [*FILES, ("plain", against), champion]
    assert "<code>genmint reconcile tiny</code>" in page
    assert ('class="badge champion"' in page.split('id="tiny"')[1].split("</section>")[0]) is False


def test_challenger_and_champion_are_told_apart(stocked):
    page = page_of(stocked)
    (*files, against), champion = overview(page)[:-1], overview(page)[-1]
    assert files == FILES
    assert against[0] == "plain"
    assert re.match(r"not better than version 2 \(elbo −3, needs \+\d", against[1])
    assert champion == ("champion", "version 2")
    row = re.search(r">elbo</span>.*?</tr>", page, re.DOTALL)[0]
    values = re.findall(r'<td class="number[^"]*">([^<]+)', row)
    assert values[0] == "-18"
    assert values[2].strip() == "-15"
    # The settings that differ, from the files stored with the champion.
    assert "<td>seed</td><td><code>1</code></td><td><code>3</code></td>" in page
    past = page.split("champions of tiny")[1].split("</table>")[0]
    assert [re.findall(r"<td[^>]*>([^<]+)", line)[3:5] for line in past.split("<tr>")[2:]] == [
        ["1", "-20"],
        ["2", "-15"],
    ]


def test_a_champion_that_was_deleted(stocked):
    # MLflow removes the alias with the version; the journal still names it.
    client(stocked).delete_model_version("tiny", "2")
    badges = overview(page_of(stocked))
    assert badges[:2] == FILES
    assert badges[-1][0] == "no"
    assert re.fullmatch(
        r"none: version 2 \(weights \w{12}\) does not exist any more", badges[-1][1]
    )


def test_files_that_are_not_registered(stocked):
    stocked.make(seed=9, elbo=-19.0)
    page = page_of(stocked)
    assert overview(page) == [
        ("warn", "not registered"),
        ("yes", "passed its gate"),
        ("plain", "not compared with version 2"),
        ("champion", "version 2"),
    ]
    stocked.make(seed=9, elbo=-39.0)
    assert overview(page_of(stocked))[1] == ("no", "failed its gate")
    stocked.make(seed=10, elbo=-39.0, gate=False)
    assert overview(page_of(stocked))[1] == ("warn", "gate record outdated")
    stocked.project.gate_record("tiny").unlink()
    assert overview(page_of(stocked))[1] == ("warn", "not gated")


def test_a_registry_that_does_not_answer(stocked, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    page = page_of(stocked)
    assert overview(page) == [
        ("warn", "version unknown"),
        ("yes", "passed its gate"),
        ("no", "unknown: the registry could not be read"),
    ]
    assert "does not answer" in page
    assert 'class="badge champion"' not in page


def test_models_with_failures_come_first(stocked):
    # In params.yaml `tiny` precedes `other`.
    assert page_of(stocked).index('id="tiny"') < page_of(stocked).index('id="other"')
    stocked.make("other", seed=5, elbo=-99.0)
    page = page_of(stocked)
    assert page.index('id="other"') < page.index('id="tiny"')


def test_metrics_no_better_than_a_trivial_baseline_are_marked_in_words(workshop):
    workshop.make()
    assert "▼ " not in page_of(workshop)
    workshop.make(elbo=-45.0)
    page = page_of(workshop)
    assert '<span class="mark">▼ worse than pixel_bernoulli: -40</span>' in page
    assert ("no", "1 of 2 metrics no better than a trivial baseline") in overview(page)


def with_baselines(workshop, **changed):
    path = workshop.project.protocol("tiny")
    write_json(path, {**json.loads(path.read_text()), **changed})
    workshop.gate()


def test_skills_and_better_codecs_are_on_the_page(workshop):
    workshop.make(recall=0.6, recall_stderr=0.02, precision=0.9, bits_per_dim=6.57)
    with_baselines(
        workshop,
        baselines={
            "recall": {"mean_plus_noise": 0.2},
            "precision": {"mean_plus_noise": 1.0},
            "bits_per_dim": {"png": 5.68, "webp": 4.04},
        },
        real={"recall": 0.9, "recall_stderr": 0.01, "precision": 0.95},
        noise_floor={"recall": 0.02, "precision": 0.01},
    )
    page = page_of(workshop)
    assert '<td class="number">0.57 ± 0.058</td>' in page
    assert '<span class="soft">worse than png 5.68, webp 4.04</span>' in page
    assert "undefined</span>" in page
    assert "cannot tell the trivial baseline mean_plus_noise (1) from real data (0.95)" in page


def test_a_gate_on_skill_shows_it_beside_its_bound(workshop):
    workshop.edit("elbo: {min: -30.0, baseline: pixel_bernoulli, margin: 1.0}",
                  "recall: {skill: 0.5}")  # fmt: skip
    workshop.make(recall=0.6, recall_stderr=0.02)
    with_baselines(
        workshop,
        baselines={"recall": {"mean_plus_noise": 0.2}},
        real={"recall": 0.9, "recall_stderr": 0.01},
        noise_floor={"recall": 0.02},
    )
    page = page_of(workshop)
    # In the gate at 95 % as in the metrics.
    assert page.count('<td class="number">0.57 ± 0.058</td>') == 2
    assert page.count('<th scope="col" class="number">skill</th>') >= 2


def test_the_page_names_its_origin_and_loads_nothing(workshop):
    workshop.make()
    page = page_of(workshop)
    for text in ("<dt>made</dt>", "<dt>commit</dt>", "<dt>genmint</dt>", "<dt>machine</dt>"):
        assert text in page
    assert "metrics/tiny.json; baselines and noise floor: metrics/tiny.protocol.json" in page
    assert "models/tiny/history.csv" in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_quarantined_items_are_linked(workshop):
    workshop.make()
    workshop.project.quarantine("dots").parent.mkdir(parents=True, exist_ok=True)
    workshop.project.quarantine("dots").write_text('"id","path","reason"\n')
    assert 'href="../data/quarantine/dots.csv"' in page_of(workshop)


def test_damaged_files_leave_their_places_empty(workshop):
    workshop.make()
    workshop.project.metrics("tiny").write_text("{")
    write_json(workshop.project.protocol("tiny"), [1])
    assert ("warn", "gate record outdated") in overview(page_of(workshop))
