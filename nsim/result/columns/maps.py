"""Tables of a mapping on tiles alone, as `nsim map` writes them."""

from nsim.result.columns.column import Column, Declared, count, text

PORTS = (
    count("row", "row of the cell"),
    count("column", "column of the cell"),
    text("kind", "NT, R1 or R0"),
    text("port", "port of the cell"),
    count("lines_used", "lines that routes take"),
    count("lines", "lines that there are"),
    Column("violated", "", "bool", "whether it takes more than there are"),
)
DECIDERS = (
    text("group", "kind of port"),
    text("cell", "cell with the fullest of them"),
    text("port", "that port"),
    count("lines_used", "lines that routes take"),
    count("as_full", "other ports that are as full"),
    count("saved_elements", "elements fewer if each port of the group had at most one line less"),
)
PLACEMENT = (count("neuron", "number of the neuron"), count("tile", "its tile"))
DECLARED = Declared("map", (), {"ports": PORTS, "deciders": DECIDERS, "placement": PLACEMENT}, frozenset())
