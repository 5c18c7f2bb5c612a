"""Tables of a replayed message trace."""

from dataclasses import replace

from nsim.result.columns.column import LINKS, Column, Declared, count, ps

MESSAGES = (
    ps("time_ps", "ready at its core"),
    count("source_core", "core that sends it"),
    count("destination_core", "core that it goes to"),
    Column("bits", "bit", "int64", "size"),
    count("packets", "packets that it is sent as"),
    count("links", "links passed, those between core and router included"),
    ps("arrival_ps", "its last bit at the destination core"),
    ps("latency_ps", "arrival less time"),
    ps("waiting_ps", "latency less that of the message alone on empty links"),
)
PACKETS = tuple(
    replace(column, name="packets", meaning="packets that passed") if column.name == "messages" else column
    for column in LINKS
)
DECLARED = Declared("trace", (), {"messages": MESSAGES, "links": PACKETS}, frozenset())
