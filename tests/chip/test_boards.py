"""Boards: a chip file and a grid make one larger mesh; routes have no cycle, nothing is lost, one chip is the chip."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nsim.chip.chip import changed
from nsim.chip.file import load_chip, own_files
from nsim.errors import ChipError, MappingError
from nsim.machine.stations import build_machine
from nsim.mapping.cores.route import BETWEEN, distance, link_kinds, xy_route
from nsim.mapping.network import map_network
from nsim.network.activity import Activity
from nsim.network.builtin import build
from nsim.report.content import BoardMap
from nsim.report.figures import contents
from nsim.report.page import write_report
from nsim.report.vector import write_figures
from nsim.result.limits.timesteps import timestep_bounds
from nsim.result.limits.timesteps_bottleneck import advice, bottleneck_of
from nsim.result.run import simulate
from nsim.result.run_folder import run_of
from nsim.result.run_timesteps import ENGINES
from tests.generators.commands import nsim
from tests.generators.machines import Cell, hand_mapped, random_network, random_step, shipped, small_chip

FIVE_LINES = """name = "mine"
chip = "kapoho-point"
[board]
columns = 3
rows = 2
"""
LINK = """[links.chip_to_chip]
bandwidth_gbps = 2
wire_ps = 10_000
source = "own"
basis = "assumed"
note = "guessed"
"""
HOP = '[board_barrier]\nhop_ps = 1_000\nsource = "own"\nbasis = "assumed"\nnote = "guessed"\n'
boards = st.builds(
    small_chip,
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 2),
    chips=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    board__ports=st.sampled_from([None, 1, 2, 3]),
)


def chip_at(board, router: int) -> int:
    """The chip that a router is on."""
    y, x = divmod(router, board.columns)
    return y // board.mesh.rows * board.board.columns + x // board.mesh.columns


@pytest.fixture
def load_text(tmp_path):
    def load(text: str):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return load_chip(path)

    return load


@pytest.fixture
def error_of(load_text, tmp_path):
    """The one line that a board's file gets."""

    def load(text: str) -> str:
        with pytest.raises(ChipError) as caught:
            load_text(text)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        return message.replace(str(tmp_path), "")

    return load


@pytest.mark.parametrize(
    ("name", "base", "chips", "cores"),
    [
        ("kapoho-point", "loihi2", 8, 1_024),
        ("vpx", "loihi2", 16, 2_048),
        ("hala-point", "loihi2", 1_152, 140_544),  # Intel 2024
        ("nahuku32", "loihi", 32, 4_096),
    ],
)
def test_shipped_boards(name, base, chips, cores):
    board, chip = load_chip(name), load_chip(base)
    assert (board.chips, board.cores) == (chips, cores)
    assert (board.actions, board.core, board.mesh) == (chip.actions, chip.core, chip.mesh)
    values = [row.key for row in board.provenance()]
    assert {"board.columns", "links.chip_to_chip.bandwidth_gbps", "actions.spike.latency_ps"} <= set(values)
    assert len(values) == len(set(values))


def test_bandwidth_of_hala_point():
    """Intel 2024: 5 TB/s from chip to chip, 1,152 chips: one link on each of four edges has a chip's part."""
    board = load_chip("hala-point")
    link, leaving = board.links.chip_to_chip, 2 * (board.mesh.columns + board.mesh.rows)
    assert 4 * link.bandwidth_gbps / 8 == pytest.approx(5_000 / board.chips, rel=0.01)
    assert [ports * gbps / 8 for ports, gbps in zip((leaving, 1), link.bandwidth_gbps_range, strict=True)] == (
        pytest.approx([5_000 / board.chips] * 2, rel=0.01)
    )


def test_five_lines_are_a_board(load_text):
    board = load_text(FIVE_LINES)
    assert (board.title, board.chips, board.cores, board.columns, board.rows) == ("mine", 6, 768, 24, 8)
    assert board.links == shipped("kapoho-point").links
    own = {row.key: row.basis for row in board.provenance()}
    assert own["board.columns"] == "assumed"


def test_a_board_of_the_chip_itself(load_text, tmp_path):
    """All it takes is the link and the barrier; a chip file of one's own is found beside the board's."""
    text = (load_chip("loihi").path).read_text(encoding="utf-8").replace("rows = 4", "rows = 2", 1)
    (tmp_path / "small.toml").write_text(text, encoding="utf-8")
    board = load_text(FIVE_LINES.replace("kapoho-point", "small.toml") + LINK + HOP)
    assert (board.cores, board.rows, board.messages.bits) == (6 * 64, 4, 32)
    assert board.link_service_ps("chip_to_chip") == 16_000  # 32 bits at 2 Gb/s
    assert own_files(str(board.path)) == [str(board.path), str(tmp_path / "small.toml")]
    before = board.sha256
    (tmp_path / "small.toml").write_text(text + "# more\n", encoding="utf-8")
    assert load_chip(board.path).sha256 != before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"kapoho-point"', '"kapoho-pint"', 'no such chip, did you mean "kapoho-point"?'),
        ('"kapoho-point"', '"./nothing.toml"', "no such file"),
        ('"kapoho-point"', '"mine.toml"', "leads back to this file"),
        ('"kapoho-point"', "3", "must be a text in quotes"),
        ('"kapoho-point"', '"akd1000"', "is no chip with timesteps"),
        ('"kapoho-point"', '"loihi2"', "links.chip_to_chip: missing: add the table [links.chip_to_chip]"),
        ("columns = 3", "columns = 0", "board.columns = 0: must be >= 1"),
        ("columns = 3", "columns = 129", "makes 1032 columns of routers, more than 1024: give at most 128"),
        ("columns = 3\n", "", "board.columns: missing"),
        ("rows = 2", "rows = 2.5", "board.rows = 2.5: must be a whole number"),
        ("rows = 2", "rows = 2\ncores_per_chip = 129", "but the chip has 128 cores: give at most 128"),
        ("rows = 2", "rows = 2\ncolum = 2", "board.colum = 2: unknown key"),
        ("rows = 2", "rows = 2\nports = 0", "board.ports = 0: must be >= 1"),
        ("rows = 2", "rows = 2\nports = 9", "longest edge of the chip has 8 rows or columns: give at most 8"),
        ("[board]", "[bord]", "unknown key"),
        ('name = "mine"\n', "", "name: missing"),
        ("rows = 2\n", "rows = 2\n" + LINK.replace("= 2", "= 0"), "links.chip_to_chip.bandwidth_gbps = 0: must be >="),
        ("rows = 2\n", "rows = 2\n" + HOP.replace("1_000", "-1"), "board_barrier.hop_ps = -1: must be >= 0"),
        ("rows = 2\n", "rows = 2\n" + HOP.replace('"own"', '"mine"'), "is not a key of [sources]"),
        ("rows = 2\n", "rows = 2\n[host]\nrouter = [24, 0]\n", "host"),
    ],
)
def test_what_is_wrong_is_named(error_of, old, new, words):
    assert old in FIVE_LINES
    assert words in error_of(FIVE_LINES.replace(old, new, 1))


def test_the_command_refuses_with_code_2(tmp_path):
    (tmp_path / "mine.toml").write_text(FIVE_LINES.replace("columns = 3", "columns = -3"), encoding="utf-8")
    refused = nsim("chips", tmp_path / "mine.toml")
    assert refused.returncode == 2
    assert "board.columns = -3: must be >= 1 (chips from west to east)" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(("chip", "needs"), [("loihi2", 9), ("kapoho-point", 9)])
def test_a_network_that_does_not_fit_says_how_many_chips_would_do(chip, needs):
    with pytest.raises(MappingError, match=f"needs 1100 cores, .* or a board of {needs} chips"):
        map_network(build("mlp", width=512, depth=3), load_chip(chip), {"fc0": 400, "fc1": 400, "fc2": 300})


@given(boards)
def test_cores_are_numbered_chip_by_chip(board):
    """A chip of the board is a chip: the same cores at the same routers, seen from its corner."""
    alone = small_chip(board.mesh.columns, board.mesh.rows, board.mesh.cores_per_router)
    for core in range(board.cores):
        chip, own = divmod(core, alone.cores)
        row, column = divmod(chip, board.board.columns)
        y, x = divmod(alone.core_router(own), alone.columns)
        router = (row * alone.rows + y) * board.columns + column * alone.columns + x
        assert board.core_router(core) == router
        assert board.core_routers[core] == router
        assert chip_at(board, router) == board.chip_of(core) == chip


@given(boards)
def test_links_between_chips_cross_an_edge(board):
    """Every row and column of routers has one link each way over every edge between two chips."""
    machine = build_machine(board)
    kinds = [board.mesh_kinds[kind] for kind in link_kinds(board)]
    across, down = board.board.columns, board.board.rows
    edges = (across - 1) * board.rows + (down - 1) * board.columns
    assert kinds.count("chip_to_chip") == 2 * edges
    for kind, (here, there) in zip(kinds, machine.hops, strict=True):
        assert (kind == "chip_to_chip") == (chip_at(board, here) != chip_at(board, there))


@settings(max_examples=25)
@given(boards)
def test_routes_never_wait_in_a_circle(board):
    """Dally and Seitz 1987: no deadlock if the graph of which link follows which on some route has no cycle."""
    machine = build_machine(board)
    follows = nx.DiGraph()
    cores = np.arange(machine.cores)
    source, target = (each.ravel() for each in np.meshgrid(cores, cores[:-1]))
    indptr, station = machine.links_between(source, target)
    for a, b, here, there in zip(indptr, indptr[1:], source.tolist(), target.tolist(), strict=False):
        passed = station[a:b].tolist()
        follows.add_edges_from(pairwise(passed))
        ends = board.router_of(here), board.router_of(there)
        assert len(passed) == 2 + len(xy_route(board, *ends)) == 2 + distance(board, *ends)
        assert machine.route(here, there)[:-1] == tuple(passed)
    assert nx.is_directed_acyclic_graph(follows)


def on_cores(chip, density=0.3):
    """A run of a small network over many cores, on the compiled engine, and on the readable one."""
    network = build("mlp", width=48, depth=2, inputs=24)
    mapping = map_network(network, chip, "even:6")
    return simulate(mapping, activity={layer.name: density for layer in network.layers}, timesteps=2, seed=3)


@pytest.mark.parametrize("base", ["loihi2", "loihi"])
def test_one_chip_is_the_chip(base):
    """The law of a board of one: all numbers are those of the chip alone."""
    alone, board = (on_cores(small_chip(2, 2, 4, base=base, chips=chips)) for chips in (None, (1, 1)))
    assert board.step_ps.tolist() == alone.step_ps.tolist()
    assert board.actions == alone.actions | {"chip_to_chip": 0}
    assert board.busy_ps.tolist() == alone.busy_ps.tolist()
    assert board.rows("links") == alone.rows("links")
    assert board.energy.known_fj == alone.energy.known_fj


def test_messages_between_chips_are_conserved():
    """What enters a chip over its edges and stays is what its cores receive from others; counted, never simulated."""
    result = on_cores(small_chip(2, 1, 2, chips=(2, 2), update=1_000, links=(300, 500)))
    chip, counts = result.mapping.chip, result.counts
    machine, crossed = result.machine, counts.link_messages.sum(axis=0)
    into = np.zeros(chip.chips, np.int64)
    first = int(machine.first[3] - machine.first[2])
    for (here, there), messages in zip(machine.hops, crossed[first:], strict=False):
        into[chip_at(chip, there)] += messages
        into[chip_at(chip, here)] -= messages
    received, sent = (getattr(counts, f"core_messages_{way}").sum(axis=0) for way in ("in", "out"))
    home = np.array([chip_at(chip, chip.router_of(core)) for core in range(chip.cores + 1)])
    balance = np.bincount(home, received - sent, minlength=chip.chips).astype(int)
    assert into.tolist() == balance.tolist()
    table = [row for row in result.rows("links") if row["kind"] == "chip_to_chip"]
    facts = result.summary()
    assert facts["chip_crossings"] == sum(row["messages"] for row in table) == result.actions["chip_to_chip"] > 0
    assert facts["chip_crossing_bits"] == sum(row["bits"] for row in table)
    assert facts["chips_used"] == 3  # 12 cores of 16, 4 on each chip


def test_what_chips_add_to_energy_and_time():
    """Static power and management count once per chip in use, the barrier by the rule of its file."""
    board = changed(shipped("kapoho-point"), {"links.chip_to_chip.energy_fj": 1_000})
    network = build("mlp", width=512, depth=3)
    mapping = map_network(network, board, "even:60")  # 180 cores: two chips
    result = simulate(mapping, activity=0.1, timesteps=2, critical_path=True)
    facts = result.summary()
    assert facts["chips_used"] == 2
    assert result.energy.by_action_fj["static"] == pytest.approx(2 * 232 * result.time_ps)
    assert result.energy.by_action_fj["management"] == 2 * 2 * board.management.lava.energy_fj
    assert result.energy.by_action_fj["chip_to_chip"] == 1_000 * facts["chip_crossings"]
    assert result.barrier_ps == 195_000 + round(195_000 * 2 * (2**0.5 - 1))
    assert 0 < facts["critical_path_between_chips_ps"] <= result.path_ps["traffic"]
    told = nsim("run", "mlp:width=512,depth=3", "--chip", "kapoho-point", "--partition", "even:60", "--no-range").stdout
    assert "2 of 8 in use" in told
    slow = changed(board, {"links.chip_to_chip.bandwidth_gbps": 0.1})
    bounds = timestep_bounds(result.counts, result.mapping, result.barrier_ps, slow)
    assert "from chip to chip, carries most" in advice("traffic", bounds, replace(mapping, chip=slow))


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.sampled_from([1, 1_000, 30_000]),
    st.floats(0.01, 1),
)
def test_the_bound_between_chips_is_never_above_the_run(seed, chips, service_ps, density):
    """Random networks over the cores of random boards, links between chips from fast to far too slow; both engines."""
    board = small_chip(
        2, 2, 1, chips=chips, update=500, send=700, places=(4, 4, 2), links={"chip_to_chip": (service_ps, 3_000)}
    )
    network = random_network(np.random.default_rng(seed), graded=True)
    cores = max(1, board.cores // sum(layer.on_chip for layer in network.layers))
    try:
        mapping = map_network(network, board, f"even:{cores}", placement=f"random:{seed % 100}")
    except MappingError:
        assume(False)
    densities = {layer.name: density for layer in network.layers}
    for engine in ("compiled", "simpy"):
        result = simulate(mapping, activity=densities, timesteps=2, seed=seed % 1000, engine=engine)
        bounds = timestep_bounds(result.counts, mapping, result.barrier_ps, management_ps=result.management_ps)
        assert (bounds.least_ps <= result.step_ps).all()
        assert (bounds.between is None) == (board.chips == 1)
        if bounds.between is not None:
            least_ps, _ = bounds.between
            assert (least_ps <= bounds.terms_ps["traffic"]).all()
            assert bool(least_ps.any()) == (result.summary()["chip_crossings"] > 0)


def test_a_slow_link_between_chips_is_the_limit():
    """Where the link binds, the run is near the bound, which names it; with less bandwidth that would be above."""
    board = small_chip(2, 1, 4, chips=(2, 1), update=1_000, links={"chip_to_chip": (500_000, 3_000)}, places=100)
    result = on_cores(board, density=1.0)
    mapping, (least_ps, station) = result.mapping, bottleneck_of(result).bounds.between
    assert least_ps.tolist() == bottleneck_of(result).bounds.terms_ps["traffic"].tolist()
    assert 1 <= result.time_ps / bottleneck_of(result).bounds.least_ps.sum() < 1.2
    slower = changed(board, {"links.chip_to_chip.bandwidth_gbps": board.links.chip_to_chip.bandwidth_gbps / 1.25})
    wrong = timestep_bounds(result.counts, mapping, result.barrier_ps, slower, result.management_ps)
    assert (wrong.least_ps > result.step_ps).all()
    name = result.machine.name(int(station[0]))
    facts = result.summary()
    assert (name, facts["busiest_chip_link"]) == ("link (1,0)->(2,0)",) * 2
    assert facts["busiest_chip_link_utilisation"] == max(
        row["utilisation"] for row in result.rows("links") if row["kind"] == "chip_to_chip"
    )
    assert f"{name} binds" in bottleneck_of(result).run_line


def naive_port(board, here: int, there: int) -> tuple[int, ...]:
    """What tells one port between two chips from others: the chips, and r * ports // n for row (column) r of n."""
    (y, x), level = divmod(here, board.columns), here // board.columns == there // board.columns
    place, length = (y % board.mesh.rows, board.mesh.rows) if level else (x % board.mesh.columns, board.mesh.columns)
    ports = min(board.ports or length, length)
    return chip_at(board, here), chip_at(board, there), place * ports // length


@given(boards)
def test_rows_share_ports_by_the_rule(board):
    """Over every edge each way as many links as ports, and a message passes that of its row or column."""
    machine = build_machine(board)
    kinds, found = link_kinds(board), {}
    for link, (here, there) in enumerate(machine.hops):
        stands = int(machine.ports[link])
        if kinds[link] != BETWEEN:
            assert stands == link
            continue
        assert stands <= link
        assert found.setdefault(naive_port(board, here, there), stands) == stands
    assert len(set(found.values())) == len(found)
    mesh, rows, columns = board.mesh, board.board.rows, board.board.columns
    east, south = (min(board.ports or n, n) for n in (mesh.rows, mesh.columns))
    assert len(found) == 2 * ((columns - 1) * rows * east + (rows - 1) * columns * south)


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_one_port_takes_turns(engine):
    """Two rows over an edge: with a port each the messages cross side by side, with one port one after the other."""
    links = {"chip_to_chip": (1_000_000, 0)}
    took_ps = {}
    for ports in (None, 2, 1):
        board = small_chip(1, 2, 1, chips=(2, 1), links=links, places=100, board__ports=ports)
        cells = [Cell(core, slot, {core + 2: 1}) for core in (0, 1) for slot in range(20)]  # chip 0 has cores 0 and 1
        mapping = hand_mapped(board, cells)
        machine = build_machine(board)
        step = ENGINES[engine].run_timestep(mapping, machine, np.arange(40))
        took_ps[ports] = step.duration_ps
        crossed = step.served[machine.of("mesh")][link_kinds(board) == BETWEEN]
        assert sorted(crossed.tolist(), reverse=True)[:2] == ([40, 0] if ports == 1 else [20, 20])
        if ports == 1:
            port = machine.number("mesh", int(np.flatnonzero(step.served[machine.of("mesh")] == 40)[0]))
            assert machine.name(port) == "port (0,0..1)->(1,0..1)"
    assert took_ps[None] == took_ps[2]
    assert 39_999_999 < took_ps[1] < 40_100_000
    assert 19_999_999 < took_ps[2] < 20_100_000


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 3),
    st.sampled_from([0, 1, 4]),
)
def test_ports_are_equal_in_both_engines(seed, mesh, ports, places):
    """Boards of two by two chips: every time and queue of the step, service by service, and without a log."""
    step = random_step(np.random.default_rng(seed), *mesh, 1, places=places, longest_ps=5, chips=(2, 2), ports=ports)
    found = [engine.run_timestep(step.mapping, step.machine, step.firing, record=True) for engine in ENGINES.values()]
    for name in ("busy_ps", "blocked_ps", "served", "longest_queue", "services"):
        assert getattr(found[0], name).tolist() == getattr(found[1], name).tolist(), name
    for path in (True, False):
        engine = ENGINES["compiled"].Engine(step.mapping, step.machine, critical_path=path)
        activity = Activity(np.array([0, step.firing.size]), np.sort(step.firing), None)
        (times,) = engine.run(activity)
        assert times.duration_ps.tolist() == [found[0].duration_ps]
        assert times.blocked_ps.tolist() == found[0].blocked_ps.tolist()


@pytest.mark.parametrize("ports", [None, 1])
def test_the_map_of_the_board_is_what_the_tables_say(ports, tmp_path):
    """Chips at their places with the synops of their cores; all that crosses, once, between neighbours."""
    board = small_chip(2, 2, 1, chips=(2, 2), board__ports=ports)
    result = on_cores(board)
    run = run_of(result)
    (found,) = [content for content in contents(run) if isinstance(content, BoardMap)]
    assert (found.columns, found.rows, found.extent) == (2, 2, (-0.5, 1.5, -0.5, 1.5))
    cores = run.tables["cores"]
    chips = sorted(set(cores["chip"]))
    assert list(zip(found.cores.x, found.cores.y, strict=True)) == [(chip % 2, chip // 2) for chip in chips]
    assert found.cores.values["synops"] == [cores["synops"][cores["chip"] == chip].sum() for chip in chips]
    assert sum(found.links.values["synops"]) == result.summary()["chip_crossings"]
    for x, y, name, way in zip(found.links.x, found.links.y, found.links.names, found.links.pointing, strict=True):
        here, there = map(int, re.match(r"chip (\d) to (\d), (?:link|port) ", name).groups())
        assert {1: "right", -1: "left", 2: "down", -2: "up"}[there - here] == way
        assert (round(2 * x) / 2, round(2 * y) / 2) == ((here % 2 + there % 2) / 2, (here // 2 + there // 2) / 2)
    write_report(run, tmp_path / "page.html")
    assert "Chips and what goes between them" in (tmp_path / "page.html").read_text(encoding="utf-8")
    names = [path.name for path in write_figures([found], tmp_path / "figures", ("svg",))]
    assert names == ["board.svg"]


def test_a_chip_alone_has_no_map_of_chips():
    assert not [content for content in contents(run_of(on_cores(small_chip(2, 2, 4)))) if content.key == "board"]


def test_a_large_board_is_drawn_by_chips_alone(monkeypatch):
    monkeypatch.setattr("nsim.report.figures.MOST_MARKS", 10)
    drawn = contents(run_of(on_cores(small_chip(2, 2, 1, chips=(2, 2)))))
    assert "mesh" not in [content.key for content in drawn]
    assert "too many to be drawn" in next(content.text for content in drawn if content.key == "board")
