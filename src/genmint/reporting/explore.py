"""HTML page about a trained model: latent traversals, attention maps and surprisal."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmint import tracking
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import check_folder, write_text
from genmint.common.html import render
from genmint.common.project import Project
from genmint.registry.loading import open_model
from genmint.registry.model_ref import ModelRef
from genmint.registry.resolve import resolve_version
from genmint.reporting.explore_panels import audio_clips, latent_map, suspicious
from genmint.reporting.page_facts import page_facts
from genmint.reporting.sample_files import contact_sheet
from genmint.reporting.verdicts import Badge

if TYPE_CHECKING:
    from torch import Tensor

    from genmint.models.shared.abilities import Decoder, Encoder, Reader
    from genmint.models.shared.family import Family

# Maximum number of latents to traverse, interpolation paths, and items with attention maps.
_LATENTS, _WAYS, _ITEMS = 16, 6, 4
# Range of a traversal in standard deviations of the prior; columns of traversals and
# interpolations.
_REACH, _COLUMNS = 3.0, 11
_CHARACTERS, _LOOKED_AT = 1500, 64
# Query positions of the attention maps: the centre and the centres of the quadrants.
_PLACES = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))


def explore(
    project: Project, target: str, out: Path, *, seed: int, allow_refused: bool = False
) -> None:
    """Write the page, with images embedded.

    Raises:
        ConfigError: `out` does not end in .html, its folder does not exist, or there is no view for
            this kind of model.
        GenmintError: see `genmint.registry.loading.open_model`; or the data set is not prepared.
    """
    if out.suffix != ".html":
        raise ConfigError(f"{out}: end the name in .html")
    check_folder(out, "--out")
    with open_model(project, target, allow_refused=allow_refused) as (_, model):
        shown = {"family": model.config.family, **_shown(project, target, model, seed)}
    origin, facts = _origin(project, target), {**page_facts(project), "seed of all draws": seed}
    page = render(
        "genmint.reporting", "explore.html", target=target, origin=origin, facts=facts,
        spec=model.spec, **shown,
    )  # fmt: skip
    write_text(out.resolve(), page)


def _origin(project: Project, target: str) -> Badge:
    """Return which files the model was loaded from, and whether they passed their gate."""
    wanted = ModelRef.parse(target)
    if wanted.alias is None and wanted.version is None:
        return Badge(f"files in models/{wanted.name}", "plain")
    registry, version = resolve_version(
        project, wanted.name, alias=wanted.alias, version=wanted.version
    )
    with tracking.reaching(registry.address):
        problem = registry.judge(wanted.name, None).verdict(version, whole=False)
    if problem is None:
        return Badge(f"version {version.version}, passed its gate", "yes")
    return Badge(f"version {version.version}: {problem}", "no")


def _shown(project: Project, target: str, model: Family, seed: int) -> dict[str, Any]:
    import torch

    from genmint.data.prepared import Prepared
    from genmint.data.views import tensors

    nothing = {
        "latents": [], "ways": "", "analogies": "", "classes": [], "maps": "", "surprise": [],
        "past": "", "reach": _REACH, "columns": _COLUMNS, "map": "", "near": [], "clips": [],
        "levels": "",
    }  # fmt: skip
    encoder, decoder, reader = model.as_encoder, model.as_decoder, model.as_reader
    if model.spec.kind == "audio":
        nothing |= audio_clips(model, seed)
    if encoder is None and decoder is not None:
        folder = project.prepared(model.spec.dataset)
        near = suspicious(model, Prepared(folder), seed) if folder.is_dir() else {}
        return {**nothing, **_of_samples(decoder, seed), **near}
    if decoder is None and model.spec.kind == "audio":
        return nothing
    prepared = Prepared(project.prepared(model.spec.dataset))
    held_out = tensors.load(prepared, "test", model.spec)
    if encoder is not None and not encoder.continuous:
        return {**nothing, **suspicious(model, prepared, seed)}
    if encoder is not None:
        labels = tensors.labels_for(model.config, prepared, "test")
        known = prepared.labels("test")
        classes = None if known is None else torch.as_tensor(known.copy())
        nothing |= latent_map(encoder, held_out, classes)
        nothing |= suspicious(model, prepared, seed)
        return {**nothing, **_of_items(encoder, held_out, labels, seed)}
    if reader is not None:
        return {**nothing, **_of_text(reader, held_out)}
    raise ConfigError(
        f"{target} has no latents and does not read text: there is nothing to explore (VAEs, GANs, "
        "and RNNs of text or audio can be explored)"
    )


def _of_items(model: Encoder, held_out: Tensor, labels: Tensor | None, seed: int) -> dict[str, Any]:
    """Latents that held-out items have, and what an encoder looks at."""
    import torch

    from genmint.interpretability.attention import enlarged, grid_maps
    from genmint.interpretability.latents import effects, interpolate, traversal

    if len(held_out) < 2:
        raise GenmintError(f"{model.spec.dataset}: the test split has fewer than two items")
    values = torch.linspace(-_REACH, _REACH, _COLUMNS)
    label = None if labels is None else labels[0]

    def moved(latent: int) -> str:
        return _sheet(traversal(model, held_out[0], latent, values, label=label)[None])

    latents = [
        {"effect": effect, "picture": moved(effect.latent)}
        for effect in effects(model, held_out, seed=seed, most=_LATENTS, labels=labels)
    ]
    pairs = min(_WAYS, len(held_out) // 2)
    of_pairs, of_starts, of_items = (
        None if labels is None else labels[:number] for number in (2 * pairs, pairs, _ITEMS)
    )
    z = model.encode(held_out[: 2 * pairs], labels=of_pairs)[:, : model.latent]
    ways = _sheet(interpolate(model, z[:pairs], z[pairs:], _COLUMNS, labels=of_starts))
    items = held_out[:_ITEMS]
    maps = grid_maps(model, items, _PLACES, labels=of_items)
    picture = ""
    if maps is not None:
        large = (enlarged(maps, *items.shape[2:]) * 255).round().to(torch.uint8)[:, :, None]
        channels = large.expand(-1, -1, items.shape[1], -1, -1)
        picture = _sheet(torch.cat([items[:, None], channels], dim=1))
    parts = {"latents": latents, "ways": ways, "maps": picture}
    return parts | _levels(model, held_out, labels, seed) | _analogies(model, z[:pairs])


def _levels(model: Encoder, held_out: Tensor, labels: Tensor | None, seed: int) -> dict[str, Any]:
    """Items of which ever more levels are kept, from the prior to the reconstruction."""
    import torch

    from genmint.interpretability.latents import kept_levels

    if len(model.levels) < 2:
        return {}
    items = held_out[:_WAYS]
    of_items = None if labels is None else labels[:_WAYS]
    rows = kept_levels(model, items, seed=seed, labels=of_items)
    return {"levels": _sheet(torch.cat([items[None], rows.flip(0)])), "level_ends": model.levels}


def _of_samples(model: Decoder, seed: int) -> dict[str, Any]:
    """Latents that are drawn."""
    from genmint.interpretability.latents import interpolate
    from genmint.models.shared.blocks import prior

    z = prior(2 * _WAYS, model.latent, seed)
    labels = model.drawn_labels(_WAYS, seed)
    ways = _sheet(interpolate(model, z[:_WAYS], z[_WAYS:], _COLUMNS, labels=labels))
    return {"ways": ways, **_analogies(model, z[:_WAYS])}


def _analogies(model: Decoder, z: Tensor) -> dict[str, Any]:
    from genmint.interpretability.latents import analogies

    if model.classes is None:
        return {}
    return {"analogies": _sheet(analogies(model, z)), "classes": model.classes.names}


def _of_text(model: Reader, held_out: Tensor) -> dict[str, Any]:
    from genmint.interpretability.attention import past_map
    from genmint.interpretability.surprise import surprise

    if len(held_out) < 2:
        raise GenmintError(f"{model.spec.dataset}: the test split has fewer than two characters")
    symbols = held_out[: _CHARACTERS + 1]
    characters = surprise(model, symbols)
    weights = past_map(model, symbols[: _LOOKED_AT + 1])
    past = ""
    if weights is not None:
        # Row t is the attention after reading character t.
        read = "".join(c if c.isprintable() else "·" for c, _ in characters[:_LOOKED_AT])
        past = _heat(weights[1:, 1:], read)
    return {"surprise": characters, "past": past}


def _sheet(grid: Tensor) -> str:
    """Return rows of samples, uint8 R×N×C×H×W, as a PNG data URI."""
    stream = io.BytesIO()
    sheet = contact_sheet(grid.flatten(0, 1).numpy(), grid.shape[1], smallest=56)
    sheet.save(stream, format="PNG")
    return _uri(stream.getvalue())


def _heat(weights: Tensor, characters: str) -> str:
    """Return a heat map of weights, T×T, labelled with characters, as a PNG data URI."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9, 9), layout="constrained")
    axes = picture.add_subplot()
    axes.imshow(weights.numpy(), cmap="magma", interpolation="nearest")
    ticks = range(len(characters))
    axes.set_xticks(ticks, list(characters), fontsize=7, family="monospace")
    axes.set_yticks(ticks, list(characters), fontsize=7, family="monospace")
    axes.set_xlabel("attended character")
    axes.set_ylabel("last character read")
    stream = io.BytesIO()
    picture.savefig(stream, format="png", dpi=110)
    return _uri(stream.getvalue())


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
