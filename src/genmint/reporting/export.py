"""Export of a registered version as a folder for people who do not have the registry."""

from __future__ import annotations

import shutil
from importlib.metadata import version as version_of
from pathlib import Path

from genmint.common.errors import ConfigError
from genmint.common.files import atomic_dir, scratch_dir, sha256_file, write_json, write_text
from genmint.common.layout import CONFIG, WEIGHTS
from genmint.common.project import Project
from genmint.lineage import trace
from genmint.models.shared import store
from genmint.registry.exported import GATE, MANIFEST, Manifest
from genmint.registry.loaded_model import LoadedModel
from genmint.registry.model_ref import ModelRef
from genmint.registry.resolve import Downloaded, download_version
from genmint.reporting.model_card import CardFacts, model_card
from genmint.reporting.sample_files import write_samples
from genmint.serving.draws import draw, draw_arguments
from genmint.stages.gate import read_record

CARD = "README.md"
_METRICS, _PROTOCOL = "metrics.json", "protocol.json"
_SAMPLES = "samples"
# Samples in the folder by kind of data, and the seed that they are drawn with.
_DRAWN = {"image": 64, "audio": 8, "text": 4}
_SEED = 0


def export(project: Project, target: str, out: Path, *, allow_refused: bool = False) -> None:
    """Write a registered version into the folder `out`, whole or not at all.

    The folder has model.safetensors and config.json as they were registered, the gate record,
    metrics and protocol of the evaluation, samples, a model card, and a manifest with the hash of
    every file. `genmint.load` loads it.

    Raises:
        ConfigError: `target` is not NAME@alias or NAME/version; or `out` is a file, a folder that
            is not empty, or in a folder that does not exist.
        GenmintError: there is no such version, its files are not those that were registered, or its
            gate failed and `allow_refused` is false.
        RegistryUnreachableError: the registry does not answer.
    """
    wanted = ModelRef.parse(target)
    if wanted.alias is None and wanted.version is None:
        raise ConfigError(
            f"{target}: export a registered version: {target}@champion, or {target}/3 for version 3"
        )
    _check_folder(out)
    with scratch_dir() as scratch:
        files = download_version(project, wanted, scratch, allow_refused=allow_refused)
        with atomic_dir(out.resolve()) as folder:
            _fill(project, files, folder, out.resolve().name)
            # Another process may have written there meanwhile.
            _check_folder(out)


def _check_folder(out: Path) -> None:
    parent = out.resolve().parent
    if not parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {parent}. Create it, or correct --out.")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file. Name a folder that does not exist.")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty. Name a folder that does not exist, or empty it.")


def _fill(project: Project, files: Downloaded, folder: Path, shown: str) -> None:
    name, stored = files.version.name, files.evaluation
    record = read_record(stored, name)
    copies = {
        WEIGHTS: files.weights / WEIGHTS,
        CONFIG: files.weights / CONFIG,
        GATE: stored.gate_record(name),
        _METRICS: stored.metrics(name),
        _PROTOCOL: stored.protocol(name),
    }
    for target, source in copies.items():
        if source.is_file():
            shutil.copyfile(source, folder / target)
    model = LoadedModel(*store.load(folder), files.version.version)
    samples, text = _write_samples(model, folder)
    facts = CardFacts(
        model=model,
        record=record,
        evaluation=stored,
        lineage=trace(files.registry, files.version, stored.root),
        project=project,
        samples=samples,
        text=text,
        folder=shown,
    )
    write_text(folder / CARD, model_card(facts))
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = Manifest(
        name=name,
        version=files.version.version,
        weights=model.record.weights,
        genmint=version_of("genmint"),
        files={path.relative_to(folder).as_posix(): sha256_file(path) for path in paths},
    )
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def _write_samples(model: LoadedModel, folder: Path) -> tuple[list[str], str]:
    """Write samples; return the paths of their files, and the first sample if it is a text."""
    spec, module = model.module.spec, model.module
    n = _DRAWN[spec.kind]
    samples = draw(module, n, seed=_SEED, arguments=draw_arguments(module, n, options={}))
    endings = {"image": [".png"], "text": [".txt"], "audio": [".wav"]}[spec.kind]
    if spec.kind == "audio" and spec.view == "grid":
        endings.append(".png")
    (folder / _SAMPLES).mkdir()
    paths = [folder / _SAMPLES / f"samples{ending}" for ending in endings]
    for path, ending in zip(paths, endings, strict=True):
        write_samples(samples, spec, path, ending)
    text = samples[0] if isinstance(samples, list) else ""
    return [path.relative_to(folder).as_posix() for path in paths], text
