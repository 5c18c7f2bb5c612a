"""`nsim map` as a user meets it: networks from files, exit codes, files that come out, one line for what is wrong."""

import csv
import json
import re

import numpy as np
import pytest
import scipy.sparse

from nsim.chip.file import available_chips, load_chip
from nsim.errors import ChipError, NetworkError
from nsim.formats.network import load_network
from nsim.mapping.network import map_network
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import map_on_tiles
from nsim.mapping.tiles.read import for_tiles, load_for_tiles
from nsim.report.figures import ports_of
from nsim.report.screen.tile_map import draw_map
from nsim.result.pictures import lines_of
from tests.generators.commands import nsim, refused
from tests.generators.mosaic_naive import naive_routing
from tests.generators.tiles import COSTS, costly_chip, nir_file

CHIP = ("--chip", "mosaic")
FABRIC = Fabric(2, 2, 4)
MATRIX = np.random.default_rng(0).normal(size=(16, 16)) * (np.random.default_rng(1).random((16, 16)) < 0.3)


def load(path, fabric=FABRIC, dt_s=None):
    return for_tiles(load_for_tiles(path, dt_s), fabric, np.random.default_rng(0)).connectivity


def pairs(connectivity):
    return set(zip(connectivity.sources.tolist(), connectivity.targets.tolist(), strict=True))


def test_matrices_in_all_formats_give_the_same_network(tmp_path):
    wanted = set(zip(*map(list, np.nonzero(MATRIX)), strict=True))
    np.save(tmp_path / "dense.npy", MATRIX)
    np.save(tmp_path / "bool.npy", MATRIX != 0)
    np.savez(tmp_path / "one.npz", weights=MATRIX)
    scipy.sparse.save_npz(tmp_path / "csr.npz", scipy.sparse.csr_matrix(MATRIX))
    scipy.sparse.save_npz(tmp_path / "array.npz", scipy.sparse.csr_array(MATRIX))
    stored_zero = scipy.sparse.csr_matrix(MATRIX)
    stored_zero.data[0] = 0
    scipy.sparse.save_npz(tmp_path / "zero.npz", stored_zero)
    for name in ("dense.npy", "bool.npy", "one.npz", "csr.npz", "array.npz"):
        assert pairs(load(tmp_path / name)) == wanted, name
    assert len(pairs(load(tmp_path / "zero.npz"))) == len(wanted) - 1


def test_entries_of_a_csr_matrix_that_occur_twice_are_one_connection(tmp_path):
    twice = scipy.sparse.csr_matrix((np.ones(3), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    scipy.sparse.save_npz(tmp_path / "net.npz", twice)
    found = load(tmp_path / "net.npz")
    assert (pairs(found), found.connections) == ({(0, 1), (1, 0)}, 2)


def test_rows_are_sources(tmp_path):
    matrix = np.zeros((8, 8))
    matrix[0, 7] = 1
    np.save(tmp_path / "net.npy", matrix)
    mapping = map_on_tiles(load(tmp_path / "net.npy"), load_chip("mosaic"), FABRIC)
    ports, _, _ = naive_routing(FABRIC, matrix)
    assert ("in W" in {name for (cell, name) in ports if cell == (1, 3)}) and mapping.routing.links.tile.tolist() == [1]


def test_recurrent_layer_of_a_nir_graph(tmp_path):
    """NIR's weights are [target, source]; the input layer and its weights stay out."""
    assert pairs(load(nir_file(tmp_path / "net.nir"), dt_s=1e-3)) == {(0, 1), (1, 2), (2, 3)}
    assert "exactly one" in refused("map", nir_file(tmp_path / "no.nir", recurrent=False), *CHIP, "--dt", "1e-3")
    assert "--dt" in refused("map", tmp_path / "net.nir", *CHIP)


@pytest.mark.parametrize(
    "content, problem",
    [
        (np.ones((3, 4)), "is 3 x 4: give a square matrix"),
        (np.full((3, 3), np.nan), "9 weights that are NaN"),
        (np.array([[{}]], object), "pickled"),
        (np.ones((900, 900), bool), "900 neurons, but 5x5 tiles of 32 hold 800: give --grid at least 29 tiles"),
        (np.full((2, 2), "a"), "elements of type"),
    ],
)
def test_matrices_that_are_no_network(tmp_path, content, problem):
    path = tmp_path / "net.npy"
    np.save(path, content, allow_pickle=True)
    line = refused("map", path, *CHIP)
    assert problem in line and "net.npy" in line


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files(tmp_path, share):
    scipy.sparse.save_npz(tmp_path / "net.npz", scipy.sparse.csr_matrix(MATRIX))
    np.save(tmp_path / "net.npy", MATRIX)
    nir_file(tmp_path / "net.nir")
    for path in list(tmp_path.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        assert path.name in refused("map", path, *CHIP, "--dt", "1e-3")


def damaged_csr(tmp_path, **changes):
    matrix = scipy.sparse.csr_matrix(MATRIX)
    arrays = {"format": b"csr", "shape": matrix.shape, "indptr": matrix.indptr, "indices": matrix.indices}
    arrays |= {"data": matrix.data, **changes}
    np.savez(tmp_path / "net.npz", **{key: value for key, value in arrays.items() if value is not None})
    return tmp_path / "net.npz"


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"format": b"csc"}, "tocsr"),
        ({"shape": (16, 17)}, "16 x 17: give a square"),
        ({"shape": (15, 15)}, "no CSR matrix"),
        ({"shape": (-1, -1), "indptr": [], "indices": [], "data": []}, "whole numbers"),
        ({"shape": (-1, -1), "indptr": np.zeros(0, int)}, "-1 x -1"),
        ({"shape": (0, 0)}, "at least 1 neuron"),
        ({"shape": (16.0, 16.0)}, "whole numbers"),
        ({"shape": 16}, "whole numbers"),
        ({"indptr": np.arange(17)[::-1]}, "no CSR matrix"),
        ({"indptr": np.zeros(17, int)}, "no CSR matrix"),
        ({"indices": np.zeros(3, int)}, "no CSR matrix"),
        ({"data": np.zeros(3)}, "no CSR matrix"),
        ({"data": None}, "holds the arrays"),
        ({"indptr": None}, "holds the arrays"),
        ({"data": np.full(int(np.count_nonzero(MATRIX)), np.inf)}, "NaN or infinite"),
        ({"indices": np.full(int(np.count_nonzero(MATRIX)), 16)}, "column 16"),
        ({"indices": np.full(int(np.count_nonzero(MATRIX)), -1)}, "column -1"),
        ({"indices": np.array([{}] * int(np.count_nonzero(MATRIX)), object)}, "pickled"),
    ],
)
def test_damaged_csr_matrices(tmp_path, changes, problem):
    assert problem in refused("map", damaged_csr(tmp_path, **changes), *CHIP)


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (("random:p1=1.2",), "p1 is 1.2"),
        (("random:p2=0.1",), "2 hops apart"),
        (("random:p4=0.1",), "4 hops apart"),
        (("random:p1=nan",), "p1 is nan"),
        (("random:",), "name=value"),
        (("random:p1",), "name=value"),
        (("missing.npy",), "missing.npy does not exist"),
        (("pilotnet",), "random:p1=0.95,p3=0.1"),
        (("net.txt",), "does not exist"),
        (("random:p1=1", "--grid", "5"), "grid is '5': give rows x columns"),
        (("random:p1=1", "--grid", "0x5"), "0 rows: give 1 to 32"),
        (("random:p1=1", "--grid", "5x33"), "33 columns"),
        (("random:p1=1", "--grid", "5x-3"), "'5x-3'"),
        (("random:p1=1", "--neurons-per-tile", "0"), "0 neurons per tile"),
        (("random:p1=1", "--place", "random"), "annealed"),
        (("random:p1=1", "--routes", "xy"), "balanced"),
        (("random:p1=1", "--seed", "-1"), "seed is -1"),
        (("random:p1=1", "--plot", "grid.gif"), "end its name in"),
        (("random:p1=1", "--plot", "no/grid.png"), "does not exist"),
    ],
)
def test_wrong_words_are_refused_in_one_line(arguments, problem, tmp_path):
    assert problem in refused("map", *arguments, *CHIP, cwd=tmp_path)


def test_chips_without_tiles_and_chips_without_cores():
    assert "--chip mosaic" in refused("map", "random:p1=1", "--chip", "loihi2")
    line = refused("floorline", "mlp", *CHIP)
    assert "works on ticks of real time, on neuron tiles, which has no floorline" in line
    with pytest.raises(NetworkError, match="no recurrent layer"):
        map_network(load_network("mlp"), load_chip("mosaic"))


def test_exit_codes_and_files(tmp_path):
    """0 if it fits, 1 if not; the tables agree with the mapping."""
    fits = nsim("map", "random:p1=1", *CHIP, "--out", tmp_path / "fits")
    assert fits.returncode == 0 and not fits.stderr
    assert "373,760" in fits.stdout and re.search(r"Mappable +yes", fits.stdout)
    options = ("--explain", "--plot", tmp_path / "grid.svg", "--out", tmp_path / "out")
    narrow = nsim("map", "random:p1=0.95,p3=0.2", *CHIP, *options)
    assert narrow.returncode == 1 and not narrow.stderr
    for text in ("too narrow", "what decides", "provisioned", "programmed", "predicted", "energy unknown"):
        assert text in narrow.stdout
    assert (tmp_path / "grid.svg").read_text().rstrip().endswith("</svg>")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *("manifest.json", "summary.json", "ports.csv", "deciders.csv", "placement.csv")
    }
    summary = json.loads((out / "summary.json").read_text())
    with (out / "ports.csv").open() as file:
        ports = list(csv.DictReader(file))
    assert len(ports) == 121 * 8
    violated = [row for row in ports if row["violated"] == "True"]
    assert len(violated) == summary["violated_ports"] > 0
    assert all(int(row["lines_used"]) > int(row["lines"]) for row in violated)
    assert sum(int(r["lines_used"]) - int(r["lines"]) for r in violated) == summary["excess_lines"]
    assert max(int(row["lines_used"]) for row in ports if row["kind"] == "R0") * 4 == summary["sizes"]["r0_side"]
    elements = summary["provisioned_elements"]
    assert elements["total"] == sum(elements[key] for key in ("nt_inputs", "nt_recurrent", "r1", "r0"))
    assert summary["energy_if_all_fire_fj"] is None
    assert summary["link_profile"]["3"] == pytest.approx(0.2, abs=0.005)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    arguments = ("random:p1=0.5,p3=0.2", *CHIP, "--grid", "3x3", "--neurons-per-tile", "6", "--place", "annealed")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        nsim("map", *arguments, "--routes", "balanced", "--seed", seed, "--out", tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert (tmp_path / "a" / "ports.csv").read_bytes() != (tmp_path / "c" / "ports.csv").read_bytes()


def test_out_that_is_in_use_is_refused(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    assert "holds other files" in refused("map", "random:p1=1", *CHIP, "--out", tmp_path / "thesis")


def test_extrapolation_is_said(tmp_path):
    assert "Extrapolated" not in nsim("map", "random:p1=0.9,p3=0.1", *CHIP).stdout
    assert "Extrapolated" in nsim("map", "random:p1=0.1", *CHIP).stdout


def test_a_users_costs_give_energy_and_latency(tmp_path):
    """(1, 0) on 5x5 of 32: 2,560 links over one R1 each, and 800 own rows; one hop is an R1 and a row."""
    path = costly_chip(tmp_path)
    nsim("map", "random:p1=1", "--chip", path, "--out", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["events_if_all_fire"] == {"row_read": 2_560 + 800, "r1_crossing": 2_560, "r0_crossing": 0}
    assert summary["energy_if_all_fire_fj"] == (2_560 + 800) * 10 + 2_560 * 2
    assert summary["longest_route_ps"] == 1_100
    nsim("map", "random:p1=1,p3=0.3,p5=0.1", "--chip", path, "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["longest_route_ps"] == 1_000 + 3 * 100 + 2 * 10
    chip = load_chip(path)
    assert (chip.unknown_costs(), chip.unknown_latencies()) == (["power.static"], [])
    assert "actions.row_read.energy_fj" in nsim("chips", path).stdout


def test_a_cost_that_is_missing_is_unknown_not_zero(tmp_path):
    path = costly_chip(tmp_path, COSTS.replace("energy_fj = 2\n", "").replace("latency_ps = 100\n", ""))
    done = nsim("map", "random:p1=1", "--chip", path)
    assert "energy unknown" in done.stdout and "latency unknown" in done.stdout
    assert "actions.r1_crossing.energy_fj" in done.stdout
    assert load_chip(path).unknown_costs() == ["r1_crossing", "power.static"]


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ("rows = 5", "rows = 0", "grid.rows = 0: must be >= 1"),
        ("rows = 5", "rows = 33", "grid.rows = 33: must be <= 32"),
        ("neurons_per_tile = 32", "neurons_per_tile = 2.5", "neurons_per_tile"),
        ("in_north_south = 32", "in_north = 32", "in_north"),
        ("in_north_south = 32", "in_north_south = -1", "must be >= 0"),
        ("[ports.r0]", "[ports.r2]", "ports.r2"),
    ],
)
def test_wrong_chip_files(tmp_path, old, new, problem):
    path = tmp_path / "mine.toml"
    path.write_text(available_chips()["mosaic"].read_text().replace(old, new, 1))
    with pytest.raises(ChipError, match=re.escape(problem)):
        load_chip(path)


def test_the_shipped_chip_has_the_published_capacities():
    """Lines per port of the published mapper: NT 32, R1 32, R0 8; costs are not known and not invented."""
    chip = load_chip("mosaic")
    assert [set(getattr(chip.ports, kind).lines) for kind in ("neuron_tile", "r1", "r0")] == [{32}, {32}, {8}]
    assert (chip.grid.rows, chip.grid.columns, chip.grid.neurons_per_tile, chip.cores) == (5, 5, 32, 25)
    assert chip.unknown_costs() == ["row_read", "r1_crossing", "r0_crossing", "power.static"]
    assert "mosaic" in nsim("chips").stdout


def test_a_picture_that_cannot_be_written(tmp_path):
    from nsim.errors import OutputError

    mapping = map_on_tiles(load("random:p1=0.5"), load_chip("mosaic"), FABRIC)
    (tmp_path / "grid.png").mkdir()
    with pytest.raises(OutputError, match="cannot write figure"):
        draw_map(mapping, tmp_path / "grid.png")


@pytest.mark.parametrize("most", [10_000, 0])
def test_what_is_red_are_the_violated_ports_with_the_lines_they_lack(most, monkeypatch):
    """From the ports of both ends of each way: what is used beyond the narrower one; on a large grid these alone."""
    monkeypatch.setattr("nsim.report.figures.MOST_MARKS", most)
    fabric = Fabric(3, 3, 16)
    mapping = map_on_tiles(load("random:p1=0.9,p3=0.9,p5=0.5", fabric), load_chip("mosaic"), fabric)
    drawn = ports_of(lines_of(mapping), 3, 3)
    names = [fabric.cell_name(cell) for cell in range(fabric.cells)]
    expected = {}
    for each in mapping.violations:
        beyond = names[fabric.beyond[each.cell, each.port % 4]]
        way = (beyond, names[each.cell]) if each.port < 4 else (names[each.cell], beyond)
        expected[way] = max(expected.get(way, 0), each.used - each.capacity)
    found = {}
    for name, lacking in zip(drawn.lines.names, drawn.lacking, strict=True):
        start, end, used = re.match(r"(\S+) to (\S+): (\d+) of \d+ lines? used", name).groups()
        assert int(used) > 0 and (f", {lacking} lacking" in name) == (lacking is not None)
        if lacking is not None:
            found[start, end] = lacking
    assert found == expected and expected
    assert len(drawn.lines.names) == (np.count_nonzero(mapping.routing.edge_use) if most else len(expected))


def test_python_gets_the_same_errors(tmp_path):
    with pytest.raises(NetworkError, match="does not exist"):
        load(tmp_path / "none.npy")
