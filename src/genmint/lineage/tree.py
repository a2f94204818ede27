"""Display of a lineage as a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

from genmint.common.console import table_console
from genmint.lineage.links import Lineage

# Digits shown of a hash.
_SHOWN = 12


def print_lineage(lineage: Lineage) -> None:
    """Print a lineage; unknown links are yellow with the reason, contradictions red."""
    of = f" ({', '.join(lineage.aliases)})" if lineage.aliases else ""
    tree = Tree(Text(f"{lineage.model} version {lineage.version}{of}", style="bold"))
    _add(tree, "weights", lineage.weights[:_SHOWN] or "unknown: no weights of genmint's")
    _add_signature(tree, lineage)
    _add_run(tree, lineage)
    _add_commit(tree, lineage)
    _add_stages(tree, lineage)
    _add_validation(tree, lineage)
    _add_gate(tree, lineage)
    _add_journal(tree, lineage)
    for problem in lineage.broken:
        _add(tree, "broken", problem, style="red")
    table_console().print(tree)


def _add_signature(tree: Tree, lineage: Lineage) -> None:
    signature = lineage.signature
    if signature is None:
        _unknown(tree, "signature", lineage)
        return
    code = "weights, configuration, code and evaluation are unchanged"
    if signature["code"] is None:
        code = "its code was stored before it was signed, and is unknown"
    _add(tree, "signature", f"by key {signature['key']}: {code}")


def _add_run(tree: Tree, lineage: Lineage) -> None:
    run = lineage.run
    if run is None:
        _unknown(tree, "run", lineage)
        return
    how = "re-created" if run["recreated"] else f"started {run['started']}"
    branch = _add(tree, "run", f"{run['id']}, {how} by {run['user']}")
    if run["environment"]:
        _add(branch, "environment", _pairs(run["environment"]))
    if "training" in lineage.unknown:
        _unknown(branch, "training", lineage)


def _add_commit(tree: Tree, lineage: Lineage) -> None:
    commit = lineage.commit
    if commit is None:
        _unknown(tree, "commit", lineage)
        return
    if commit["training"] is not None:
        state = {True: ", with uncommitted changes", False: "", None: ", clean or not: unknown"}
        training = f"{commit['training'][:_SHOWN]}{state[commit['uncommitted_changes']]}"
        _add(tree, "commit at the training", training)
    recorded = commit["recorded"]
    _add(
        tree,
        "commit that recorded it",
        f"{recorded[:_SHOWN]}, whose dvc.lock has exactly these hashes"
        if recorded
        else "none here has exactly these hashes in its dvc.lock",
    )


def _add_stages(tree: Tree, lineage: Lineage) -> None:
    if lineage.stages is None:
        _unknown(tree, "stages", lineage)
        return
    branch = _add(tree, "stages", "with the beginnings of DVC's hashes")
    writers: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    for stage, entry in lineage.stages.items():
        node = _add(branch, stage, "")
        _add(
            node,
            "code",
            ", ".join(f"{path} {digest[:8]}" for path, digest in entry["code"].items()),
        )
        sources = {path: each for path, each in entry["data"].items() if path not in writers}
        earlier = dict.fromkeys(writers[path] for path in entry["data"] if path in writers)
        if earlier:
            _add(node, "read", f"what {', '.join(earlier)} wrote")
        for part, hashes in (("read", sources), ("wrote", entry["wrote"])):
            for path, digest in hashes.items():
                _add(node, part, f"{path} {digest[:8]}")
        writers |= dict.fromkeys(entry["wrote"], stage)
        for key, values in entry["parameters"].items():
            # Each gate stage depends on the whole `gates` mapping; show this model's gate only.
            own = key == "gates" and isinstance(values, Mapping)
            shown = values.get(lineage.model) if own else values
            label = f"gates.{lineage.model}" if own else key
            if key in parameters and parameters[key] == values:
                continue
            parameters[key] = values
            _add(node, label, _pairs(shown) if isinstance(shown, Mapping) else str(shown))


def _add_validation(tree: Tree, lineage: Lineage) -> None:
    validation = lineage.validation
    if validation is None:
        _unknown(tree, "validation", lineage)
        return
    verdict = "passed" if validation["passed"] == 1 else "refused"
    branch = _add(
        tree,
        "validation",
        f"{validation['dataset']} {verdict}, report {validation['sha256'][:_SHOWN]}: "
        f"{validation['items']} items, {validation['quarantined']} quarantined "
        f"(at most {validation['max_quarantined']} of them)",
    )
    for item in validation["expectations"]:
        wanted = _pairs({k: v for k, v in item["arguments"].items() if k != "column"})
        outcome = "holds" if item["passed"] else "fails"
        observed = (
            f"found {item['observed']}"
            if item["level"] == "set"
            else (f"{item['observed']} items fail it")
        )
        _add(branch, item["name"], f"{f'({wanted}) ' if wanted else ''}{outcome}: {observed}")


def _add_gate(tree: Tree, lineage: Lineage) -> None:
    gate = lineage.gate
    if gate is None:
        _unknown(tree, "gate", lineage)
        return
    verdict = "passed" if gate["passed"] else "refused"
    total = gate["checks_passed"] + gate["checks_failed"]
    branch = _add(
        tree,
        "gate",
        f"{verdict}, {gate['checks_passed']} of {total} checks, mode {gate['mode']}, "
        f"record {gate['sha256'][:_SHOWN]}",
    )
    for check in gate["failed"]:
        _add(branch, check["name"], check["reason"])


def _add_journal(tree: Tree, lineage: Lineage) -> None:
    branch = _add(tree, "journal", "" if lineage.journal else "it was never champion")
    for entry in lineage.journal:
        before = f", before it version {entry['previous']}" if entry["previous"] else ""
        _add(
            branch,
            f"entry {entry['number']}",
            f"{entry['kind']} of version {entry['version']}{before}: {entry['reason']}",
        )


def _add(tree: Tree, label: str, text: str, *, style: str = "") -> Tree:
    line = Text(label, style=style or "cyan")
    return tree.add(line.append(f": {text}" if text else "", style=style or "default"))


def _unknown(tree: Tree, link: str, lineage: Lineage) -> None:
    _add(tree, link, f"unknown: {lineage.unknown.get(link, 'nothing was stored')}", style="yellow")


def _pairs(values: Mapping[str, Any]) -> str:
    shown = (
        f"{key} ({_pairs(value)})" if isinstance(value, Mapping) else f"{key} {value}"
        for key, value in values.items()
    )
    return ", ".join(shown)
