"""What became of two SANA-FE files, in words: every field, every number that had to be assumed, every difference."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nsim.formats.sanafe.tree import APPROXIMATED, CARRIED, LEFT, Row

TIMING = (
    "SANA-FE charges the update of a neuron only if something arrived or its potential is not zero; nsim charges "
    "every neuron of a core in every timestep. The energy of neurons is therefore at least SANA-FE's.",
    "In SANA-FE a core is one pipeline: the axon-out time of a message delays the next neuron's update. In nsim "
    "sending is a station of its own, beside the sweep over the neurons, which stands still only while its queue is "
    "full.",
    "SANA-FE updates the neurons of a core in the order of the mappings, nsim in the order of layers and numbers.",
    "SANA-FE schedules the messages of a timestep with estimates of waiting and blocking on the mesh; nsim lets every "
    "message queue at every link and buffer. Hops take the same time without other traffic, up to 1 ps per link.",
    "SANA-FE has no links between a core and its router; in nsim a message takes 1 ps on each of the two.",
    "Buffers before the synapses and before sending are not in the file (buffer_position only says which units work "
    "per message and which per neuron); chip.toml assumes as many places as a link has.",
)


@dataclass(frozen=True)
class Account:
    """What an import did.

    architecture, network   what became of the fields of each file
    assumed                 key, value and reason of every number of the chip file that came from neither
    spikes                  why spikes may differ from SANA-FE's; empty: they are the same
    costs                   what costs differ, beyond what holds for every import
    timesteps               how long the stimulus lasts
    """

    architecture_file: str
    network_file: str
    folder: Path
    architecture: list[Row]
    network: list[Row]
    assumed: list[tuple[str, object, str]]
    spikes: list[str]
    costs: list[str]
    timesteps: int

    @property
    def command(self) -> str:
        network, chip, partition = (str(self.folder / name) for name in ("network.nir", "chip.toml", "partition.toml"))
        return shlex.join(["nsim", "run", network, "--chip", chip, "--partition", partition])

    def count(self) -> Counter[str]:
        """Fields by verdict; fields of one meaning count once."""
        return Counter(row.verdict for row in (*self.architecture, *self.network))

    def not_exact(self) -> list[tuple[str, str, str]]:
        """What was not carried over as it is, fields of one place and fate together: fields, verdict and words."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for verdict in (LEFT, APPROXIMATED):
            for row in (*self.architecture, *self.network):
                if row.verdict == verdict:
                    place, _, name = row.field.replace(".attributes", "").rpartition(".")
                    found.setdefault((place, verdict, row.words), []).append(name)
        return [
            (f"{place}: {', '.join(names)}" if place else ", ".join(names), verdict, words)
            for (place, verdict, words), names in found.items()
        ]


def account_text(account: Account) -> str:
    """carried.md."""
    count = account.count()
    lines = [
        f"# What was carried over from {account.architecture_file} and {account.network_file}",
        "",
        *("```", account.command, "```", ""),
        f"Fields: {count[CARRIED]} carried over, {count[APPROXIMATED]} approximated, {count[LEFT]} not carried over. "
        f"The inputs' spikes last {account.timesteps} timesteps, then there is silence (`--timesteps`, or another "
        "`--input`).",
        *("", "## Spikes", ""),
    ]
    if account.spikes:
        lines += ["Spikes may differ from SANA-FE's:", "", *(f"- {line}" for line in account.spikes)]
    else:
        lines.append("Nothing is known that would make a spike differ from SANA-FE's.")
    lines += ["", "## Costs and time", "", *(f"- {line}" for line in (*account.costs, *TIMING))]
    for title, rows in ((account.architecture_file, account.architecture), (account.network_file, account.network)):
        lines += [
            "",
            f"## Every field of {title}",
            "",
            "| field | times | | as what, or why not |",
            "|---|---|---|---|",
        ]
        lines += [f"| `{_cell(row.field)}` | {row.number:,} | {row.verdict} | {_cell(row.words)} |" for row in rows]
    lines += [
        "",
        "## Numbers of chip.toml that are in neither file",
        "",
        "| key | value | reasoning |",
        "|---|---|---|",
    ]
    lines += [f"| `{key}` | {value} | {_cell(reason)} |" for key, value, reason in account.assumed]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
