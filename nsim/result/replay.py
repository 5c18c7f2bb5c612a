"""What a replayed message trace tells: latencies and link loads as numbers, tables and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nsim.machine.replay import Replayed
from nsim.result.columns import replay
from nsim.result.columns.column import Declared
from nsim.result.result import Row, Tabular, provenance
from nsim.result.stations import link_rows

USED = ("mesh.", "buffers.link", "messages.", "links.")  # of the chip file, by the beginnings of keys
PER_MILLE = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}


def percentiles_ps(times_ps: np.ndarray) -> dict[str, int]:
    """Least, median, ... and largest of times, by nearest rank: each is a time that occurred."""
    ordered = np.sort(times_ps)
    ranks = {name: -(-ordered.size * share // 1000) for name, share in PER_MILLE.items()}
    ranks = {"min": 1, **ranks, "max": ordered.size}
    return {name: int(ordered[rank - 1]) for name, rank in ranks.items()}


@dataclass(frozen=True, eq=False, repr=False)
class NocResult(Tabular):
    """A replayed trace as tables `messages` and `links`, and a summary.

    summary()   messages, packets, bits, span_ps (first message to last arrival), latency_ps and waiting_ps (by
                percentile), mean_latency_ps, mean_waiting_ps, delivered_gbps, fullest_link and its utilisation
    waiting     is the latency less that of the message alone on empty links with slots for all
    """

    declared: ClassVar[Declared] = replay.DECLARED
    outputs: ClassVar[None] = None

    replayed: Replayed

    def _messages(self) -> dict[str, Any]:
        """A row per message, in order of time."""
        run = self.replayed
        traffic = run.traffic
        columns = {"time_ps": traffic.time_ps, "source_core": traffic.source, "destination_core": traffic.destination}
        columns |= {"bits": traffic.bits, "packets": run.packets, "links": run.links, "arrival_ps": run.arrival_ps}
        return columns | {"latency_ps": run.latency_ps, "waiting_ps": run.latency_ps - run.alone_ps}

    def _links(self) -> list[Row]:
        """A row per link that carried a packet."""
        run, machine = self.replayed, self.replayed.machine
        busy_ps = machine.service_ps.copy()
        busy_ps[machine.first[2] : machine.first[5]] *= run.link_packets
        rows = link_rows(machine, run.link_packets, busy_ps, run, run.span_ps)
        return [{"packets" if key == "messages" else key: value for key, value in row.items()} for row in rows]

    def summary(self) -> dict[str, Any]:
        run = self.replayed
        waiting_ps, bits = run.latency_ps - run.alone_ps, int(run.traffic.bits.sum())
        fullest = max(self.rows("links"), key=lambda row: row["utilisation"])
        return {
            "chip": run.machine.chip.name,
            "engine": run.engine,
            "messages": len(run.traffic),
            "packets": int(run.packets.sum()),
            "bits_per_packet": run.machine.chip.messages.bits,
            "bits": bits,
            "span_ps": run.span_ps,
            "delivered_gbps": bits * 1000 / run.span_ps,
            "latency_ps": percentiles_ps(run.latency_ps),
            "mean_latency_ps": float(run.latency_ps.mean()),
            "waiting_ps": percentiles_ps(waiting_ps),
            "mean_waiting_ps": float(waiting_ps.mean()),
            "links_used": len(self.rows("links")),
            "links_available": int(run.link_packets.size - 2),  # the host's two carry nothing
            "fullest_link": fullest["link"],
            "fullest_link_utilisation": fullest["utilisation"],
        }

    def provenance(self) -> dict[str, Any]:
        """What it takes to repeat it. Nothing is drawn, so there is no seed."""
        facts = provenance(None, self.replayed.machine.chip, 0)
        constants = {key: basis for key, basis in facts["constants"].items() if key.startswith(USED)}
        return {key: value for key, value in facts.items() if key != "seed"} | {"constants": constants}
