"""Ways to train one model, each in a process of its own: told to train, it says how fast it was.

    python benchmarks/contenders.py WAY CASE

reads a number of seconds a line, trains for so long, and answers with items (symbols) a second.
Ways: genmint[:precision[:compile[:channels_last]]], textbook:WORKERS, pythae.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator

import cases
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from genmint.models.shared import store
from genmint.models.shared.networks import decoder, encoder
from genmint.training.devices import keep_memory, share_cores
from genmint.training.stepper import Stepper


def genmint(case: str, precision: str = "fp32", *options: str) -> Iterator[int]:
    """Our own loop; yields what each step learned from."""
    torch.set_flush_denormal(True)
    keep_memory()
    layout = {"channels_last": "channels_last" in options}
    config = cases.config(case).model_copy(update=layout)
    model = store.build(config, cases.spec(case)).train()
    stepper = Stepper(model, config, cases.data(case), precision, compiled="compile" in options)
    for step in itertools.count(1):
        yield stepper.step(0, measure=step % 50 == 0)
        if step % config.validate_every == 0:
            stepper.window.clear()


def textbook(case: str, workers: str) -> Iterator[int]:
    """The loop of the tutorials: DataLoader, eager fp32, the optimiser as it comes."""
    loader = _loader(case, int(workers))
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    steps = {"dcgan": _textbook_gan, "lstm": _textbook_lstm}.get(case, _textbook_vae)
    return steps(case, batches)


def pythae(case: str) -> Iterator[int]:
    """Pythae's VAE and BaseTrainer as they come; an epoch at a time."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    config = cases.config(case)
    images = cases.data(case).float() / 255
    model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=config.latent,
                          reconstruction_loss="bce"))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.optimiser.lr,
        )
        dataset = BaseDataset(images, torch.ones(len(images)))
        # Without an evaluation set only training is timed.
        trainer = BaseTrainer(model, dataset, training_config=settings)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer.prepare_training()
        for epoch in itertools.count(1):
            with contextlib.redirect_stderr(io.StringIO()):
                trainer.train_step(epoch)
            yield len(images)


def _loader(case: str, workers: int) -> DataLoader:
    config, data = cases.config(case), cases.data(case)
    if case == "lstm":
        length = config.bptt + 1
        data = data[: len(data) // length * length].view(-1, length)
    else:
        data = data.float() / 255
    return DataLoader(
        TensorDataset(data),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def _textbook_vae(case: str, batches: Iterator[list[torch.Tensor]]) -> Iterator[int]:
    config = cases.config(case)
    shape = cases.spec(case).shape
    model = nn.ModuleDict(
        {
            "encoder": encoder(config.network, shape, config.hidden, 2 * config.latent, act="relu"),
            "decoder": decoder(config.network, config.latent, config.hidden, shape, act="relu"),
        }
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=config.optimiser.lr)
    for (x,) in batches:
        mean, log_variance = model["encoder"](x).chunk(2, dim=1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        logits = model["decoder"](z)
        loss = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        loss = loss - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        optimiser.zero_grad()
        (loss / len(x)).backward()
        optimiser.step()
        yield len(x)


def _textbook_gan(case: str, batches: Iterator[list[torch.Tensor]]) -> Iterator[int]:
    config = cases.config(case)
    model = store.build(config, cases.spec(case)).train()
    discriminator, generator = model.discriminator, model.generator
    settings = {"lr": 2e-4, "betas": (0.5, 0.999)}
    for_d = torch.optim.Adam(discriminator.parameters(), **settings)
    for_g = torch.optim.Adam(generator.parameters(), **settings)
    criterion = nn.BCEWithLogitsLoss()
    for (x,) in batches:
        ones, zeros = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        discriminator.zero_grad()
        criterion(discriminator(2 * x - 1), ones).backward()
        fake = generator(torch.randn(len(x), config.latent)).tanh()
        criterion(discriminator(fake.detach()), zeros).backward()
        for_d.step()
        generator.zero_grad()
        criterion(discriminator(fake), ones).backward()
        for_g.step()
        yield len(x)


def _textbook_lstm(case: str, batches: Iterator[list[torch.Tensor]]) -> Iterator[int]:
    config, symbols = cases.config(case), cases.spec(case).symbols
    assert symbols is not None
    embedding = nn.Embedding(symbols, config.embedding)
    lstm = nn.LSTM(config.embedding, config.hidden, config.layers, batch_first=True)
    output = nn.Linear(config.hidden, symbols)
    model = nn.ModuleList([embedding, lstm, output])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for (x,) in batches:
        logits = output(lstm(embedding(x[:, :-1]))[0])
        loss = functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        yield x[:, 1:].numel()


def main(way: str, case: str) -> None:
    """Answer lines on stdin until it ends."""
    share_cores()
    name, *options = way.split(":")
    steps = {"genmint": genmint, "textbook": textbook, "pythae": pythae}[name](case, *options)
    for _ in range(3):
        next(steps)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, amount = float(line), 0
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            amount += next(steps)
        print(amount / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
