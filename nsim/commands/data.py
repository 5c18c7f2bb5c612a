"""`nsim data`: data to train on, made offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def spoken_digits(
    out: Annotated[Path, typer.Argument(help="File to write: .h5, or .h5.gz, a quarter as large.")],
    speakers: Annotated[int, typer.Option(help="Speakers, who say 20 words each; up to 38.")] = 12,
    test_speakers: Annotated[int, typer.Option(help="How many of them are in the test only.")] = 2,
    takes: Annotated[int, typer.Option(help="Takes of every word by every speaker.")] = 1,
    jitter: Annotated[float, typer.Option(help="Variation of speed, pitch and loudness, 0 to 1.")] = 1.0,
    noise_db: Annotated[float | None, typer.Option(help="White noise relative to the word. [default: none]")] = None,
    rate_hz: Annotated[int, typer.Option(help="Sample rate that the ear hears.")] = 48_000,
    time_step: Annotated[float, typer.Option(help="Round times to multiples of so many seconds. 0: do not.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads to use. [default: all]")] = None,
) -> None:
    """Speak digits in English and German with espeak-ng, and turn them into spikes on 700 channels.

    A stand-in for the Spiking Heidelberg Digits in their layout: synthetic, and easier.
    """
    from nsim import screen
    from nsim.answer import answered, say
    from nsim.speech.generate import Settings, check_output, generate, write

    settings = Settings(speakers, test_speakers, takes, jitter, noise_db, rate_hz, time_step, seed)
    check_output(out)
    with screen.progress("samples", "speaking") as progress:
        samples = generate(settings, threads, progress)
    write(out, settings, samples)
    test = sum(sample.saying.speaker >= speakers - test_speakers for sample in samples)
    mean = sum(sample.units.size for sample in samples) / len(samples)
    facts = {"training_samples": len(samples) - test, "test_samples": test, "mean_spikes_per_sample": mean}
    if not answered(lambda: {**facts, "out": out}):
        say(f"{out}: {len(samples) - test} training and {test} test samples, {mean:,.0f} spikes each in the mean")


DATA = {"spoken-digits": spoken_digits}
