"""`nsim data`: data to train on, made offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from nsim.cli.completion import words
from nsim.errors import OutputError, counted, require

Out = Annotated[Path, typer.Argument(help="File to write: .h5, or .h5.gz, a quarter as large.")]
RateHz = Annotated[int, typer.Option(help="Sample rate that the ear hears: sounds are resampled to it.")]
TimeStep = Annotated[float, typer.Option(help="Seconds to whose multiples spike times are rounded. 0: not rounded.")]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Threads = Annotated[int | None, typer.Option(help="Threads to use. [default: all]")]


def spoken_digits(
    out: Out,
    speakers: Annotated[int, typer.Option(help="Speakers, who say 20 words each; up to 38.")] = 12,
    test_speakers: Annotated[int, typer.Option(help="How many of them are in the test only.")] = 2,
    takes: Annotated[int, typer.Option(help="Takes of every word by every speaker.")] = 1,
    jitter: Annotated[float, typer.Option(help="Variation of speed, pitch and loudness, 0 to 1.")] = 1.0,
    noise_db: Annotated[float | None, typer.Option(help="White noise relative to the word. [default: none]")] = None,
    rate_hz: RateHz = 48_000,
    time_step: TimeStep = 0.0,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Speak digits in English and German with espeak-ng, and turn them into spikes on 700 channels.

    A stand-in for the Spiking Heidelberg Digits in their layout: synthetic, and easier.
    """
    require("h5py", str(out), OutputError)
    from nsim.report import screen
    from nsim.training.data.generate import Settings, generate, write
    from nsim.training.data.hearing import Hearing, check_output

    settings = Settings(speakers, test_speakers, takes, jitter, noise_db, Hearing(rate_hz, time_step), seed)
    check_output(out)
    with screen.progress("samples", "speaking") as progress:
        samples = generate(settings, threads, progress)
    write(out, settings, samples)
    test = sum(sample.saying.speaker >= speakers - test_speakers for sample in samples)
    _say_counts(out, len(samples) - test, test, sum(sample.heard.units.size for sample in samples))


def recordings(
    folder: Annotated[Path, typer.Argument(help="Folder of WAVs, mono, any sample rate; folders below it, too.")],
    out: Out,
    names: Annotated[str, typer.Option(help="Names of the files: '{label}_{speaker}_{take}.wav'.")],
    test: Annotated[
        str,
        typer.Option(
            help="Recordings for the test: takes:0-4, speakers:NAME,NAME, or a CSV file (columns file, split).",
            autocompletion=words("takes:", "speakers:"),
        ),
    ],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip WAVs that cannot be used, and name them.")] = False,
    rate_hz: RateHz = 48_000,
    time_step: TimeStep = 1e-3,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Turn a folder of recorded words into spikes on 700 channels, in the layout of SHD.

    \b
    Where to get speech:
      Free Spoken Digit Dataset: 3,000 WAVs of 10 digits by 6 speakers,
        CC BY-SA 4.0, github.com/Jakobovski/free-spoken-digit-dataset:
        nsim data recordings recordings fsdd.h5.gz \\
          --names '{label}_{speaker}_{take}.wav' --test takes:0-4
      Spiking Heidelberg Digits (SHD) and Spiking Speech Commands (SSC):
        spikes already, CC BY 4.0, zenkelab.org/datasets; unpack
        shd_train.h5 and shd_test.h5 in a folder and train on that folder
    """
    require("h5py", str(out), OutputError)
    from nsim.report import screen
    from nsim.report.answer import say
    from nsim.training.data.hearing import Hearing, check_output, write_set
    from nsim.training.data.recordings import Settings, as_set, find, hear, refuse_bad, test_rule

    settings = Settings(names, test, Hearing(rate_hz, time_step), seed)
    check_output(out)
    found = find(folder, names)
    if not skip_bad:
        refuse_bad(found)
    for name, cause in found.bad.items():
        say(f"skipped: {name} {cause}")
    chosen = test_rule(test, found.recordings)
    with screen.progress("recordings", "hearing") as progress:
        heard = hear(found.recordings, settings, threads, progress)
    write_set(out, as_set(folder, settings, found, chosen, heard))
    spikes = sum(sample.units.size for sample in heard)
    _say_counts(out, int((~chosen).sum()), int(chosen.sum()), spikes, list(found.bad))


def _say_counts(out: Path, train: int, test: int, spikes: int, skipped: list[str] | None = None) -> None:
    from nsim.report.answer import answered, say

    mean, tests = spikes / (train + test), counted(test, "test sample")
    facts = {"training_samples": train, "test_samples": test, "mean_spikes_per_sample": mean, "out": out}
    more = {} if skipped is None else {"skipped": skipped}
    left_out = f"; {counted(len(skipped), 'WAV')} skipped" if skipped else ""
    if not answered(lambda: {**facts, **more}):
        say(f"{out}: {train:,} training and {tests}, {counted(round(mean), 'spike')} each in the mean{left_out}")


DATA: dict[str, Callable[..., None]] = {"spoken-digits": spoken_digits, "recordings": recordings}
