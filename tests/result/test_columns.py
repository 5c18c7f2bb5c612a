"""Every table and every summary of every discipline is as declared: names, types, units at the ends of names."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from nsim.chip.discipline import DISCIPLINES
from nsim.cli.schemas import summary_schema
from nsim.errors import InputError
from nsim.result.columns import COMMON, all_declared
from nsim.result.columns.column import DTYPES
from nsim.result.columns.document import document
from nsim.result.folder import OutputFolder, files_in, write_manifest
from nsim.result.run_folder import read_run
from nsim.sweep.table import OPTIONS, POINT, measures_of, schema_of
from tests.generators.results import RUNS

# Units by what names have of them
UNITS = {"_ps_": "ps", "_fj_": "fJ", "_mw_": "mW", "_mhz_": "MHz", "_per_s_": "1/s", "_bytes_": "bytes"}
UNITS |= {"_cycles_": "cycles"}
KINDS = {"int64": "i", "float64": "f", "bool": "b", "string": "O"}
TYPES = {"int64": int, "float64": float, "string": str, "bool": bool, "map": dict, "list": list}


def test_declarations_are_sound():
    """Names are unique and lowercase, types are known, and a name has its unit."""
    for declared in all_declared().values():
        for columns in (declared.summary, *declared.tables.values()):
            names = [column.name for column in columns]
            assert len(set(names)) == len(names)
            for column in columns:
                assert column.dtype in DTYPES and column.meaning and column.name == column.name.lower()
                named = re.search("|".join(UNITS), f"_{column.name}_")
                assert column.unit in ((UNITS[named[0]],) if named else ("", "1", "bit")), column


def test_every_summary_begins_with_the_common_keys():
    assert {declared.summary[: len(COMMON)] for declared in all_declared().values()} == {COMMON}
    common = {key.name for key in COMMON}
    assert {"span", "spans", "time_ps", "energy_fj", "limit", "limit_share"} < common


@pytest.mark.parametrize("name", RUNS)
def test_tables_have_their_declared_columns_and_types(name, results):
    result = results(name)
    declared = result.declared
    assert set(declared.tables) - set(result.tables) <= declared.optional
    for each in result.tables:
        table, columns = result.table(each), declared.tables[each]
        must = [column.name for column in columns if not column.absent]
        assert [column.name for column in columns if column.name in table] == list(table)
        assert set(must) <= set(table)
        for column in columns:
            if column.name in table:
                assert table[column.name].dtype.kind == KINDS[column.dtype], (each, column)
                assert column.null or not table[column.name].isna().any(), (each, column)
        as_text = [tuple(row.values()) for row in result.rows(each)]
        assert len(as_text) == len(table) and set(result.columns(each)) == set(table)


@pytest.mark.parametrize("name", RUNS)
def test_a_summary_has_its_declared_keys_and_types(name, results):
    result = results(name)
    summary = result.summary()
    told = [key for key in result.declared.summary[:-1] if not key.absent or key.name in summary]
    assert list(summary) == [key.name for key in told]
    for key in told:
        value = summary[key.name]
        assert (value is None and key.null) or type(value) is TYPES[key.dtype], (key, value)


@pytest.mark.parametrize("name", RUNS)
def test_the_common_keys_agree_with_tables_and_energies(name, results):
    result = results(name)
    facts = result.summary()
    assert facts["span"] == result.declared.span and facts["spans"] == facts["spans_planned"] > 0
    known = [energy for energy in facts["energy_by_action_fj"].values() if energy is not None]
    assert facts["energy_fj"] == (pytest.approx(sum(known)) if known else None)
    if facts["time_ps"] is None:
        assert (facts["limit"], facts["limit_by"], facts["limit_share"], facts["engine"]) == (None,) * 4
        return
    assert 0 <= facts["limit_share"] <= 1
    path = facts["critical_path_ps"]
    if path:
        assert facts["limit_by"] == "critical path" and path[facts["limit"]] == max(path.values())
        assert sum(path.values()) == facts.get("latency_ps", facts["time_ps"])
    table = {"timestep": "timesteps", "tick": "timesteps"}.get(facts["span"])
    if table:
        assert result.table(table)["duration_ps"].sum() == facts["time_ps"]
        assert len(result.table(table)) == facts["spans"]


def test_the_limit_without_a_path_is_the_busiest_station(results):
    """Found again from the tables, which name cores and stages in other words."""
    result = results("timesteps, bare")
    cores, links, limit = result.table("cores"), result.table("links"), result.limit()
    busiest = cores.loc[cores["utilisation"].idxmax()]
    assert busiest["utilisation"] >= links["utilisation"].max()
    assert limit.by == "busy time" and limit.share == pytest.approx(busiest["utilisation"])
    assert limit.name.startswith(f"core {busiest['core']} ({busiest['layers']})")
    result = results("timesteps")  # a runtime takes more than the work of a small network
    spent = result.table("timesteps")["management_ps"].sum() / result.time_ps
    assert spent > result.table("cores")["utilisation"].max()
    assert (result.limit().name, result.limit().share) == ("management", pytest.approx(spent))
    result = results("frames")
    cores, links, limit = result.table("cores"), result.table("links"), result.limit()
    assert limit.share == pytest.approx(max(cores["utilisation"].max(), links["utilisation"].max()))
    result, facts = results("stream"), results("stream").summary()
    assert facts["limit"] == f"{facts['bottleneck']['layer']} (core {facts['bottleneck']['core']}) synapses"
    cores = result.table("cores").set_index("core")
    busy = cores.loc[facts["bottleneck"]["core"], "synapses_busy_ps"]
    assert facts["limit_share"] == pytest.approx(busy / facts["time_ps"])
    ports = results("ticks, times").table("ports")
    facts = results("ticks, times").summary()
    worst = ports.loc[ports["waited_ps"].idxmax()]
    assert (facts["limit"], facts["limit_share"]) == (worst["port"], worst["waited_ps"] / ports["waited_ps"].sum())


@pytest.mark.parametrize("name", ["timesteps, path", "frames, path", "stream, path", "ticks, times"])
def test_files_are_read_back_through_the_same_declarations(name, results, tmp_path):
    result = results(name)
    with OutputFolder(tmp_path / "out") as folder:
        folder.write(result)
    validator = jsonschema.Draft202012Validator(summary_schema())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert validator.is_valid(summary), next(validator.iter_errors(summary)).message
    for change in ({"spans": "three"}, {"a_typo": 1}, {"span": "stpe"}):
        assert not validator.is_valid(summary | change)
    assert not validator.is_valid({key: value for key, value in summary.items() if key != "limit"})
    run = read_run(tmp_path / "out")
    assert set(run.tables) == set(result.tables)
    for each, table in run.tables.items():
        pd.testing.assert_frame_equal(table, result.table(each), check_exact=True)
    first = tmp_path / "out" / f"{result.tables[0]}.csv"
    first.write_text(first.read_text().replace("known_dynamic_energy_fj", "energy").replace("weight_bytes", "w"))
    write_manifest(tmp_path / "out", files_in(tmp_path / "out"))
    if name != "stream, path":
        with pytest.raises(InputError, match=r"lacks .*: run again"):
            read_run(tmp_path / "out")


def test_a_notebook_card_touches_no_file(results, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a file was opened")

    for name in ("timesteps", "frames", "stream", "ticks"):
        result = results(name)
        result.table("layers" if "layers" in result.tables else "tiles").to_html()  # pandas loads its parts
        with monkeypatch.context() as patched:
            patched.setattr("builtins.open", refuse)
            patched.setattr(Path, "open", refuse)
            shown = result._repr_html_()
        assert f"<td>{result.summary()['spans']}</td>" in shown


def test_unknown_tables_are_refused(results):
    with pytest.raises(InputError, match="no table 'rooms' here: choose from cores, layers, links, timesteps"):
        results("timesteps").table("rooms")
    with pytest.raises(InputError, match="no table 'critical_path'"):
        results("timesteps").table("critical_path")
    assert results("timesteps").critical_stations == []


def test_a_sweep_has_the_single_values_of_every_summary():
    types = {}
    for own in DISCIPLINES.values():
        for key in measures_of(own):
            assert types.setdefault(key.name, key.dtype) == key.dtype, key
    assert not set(types) & {*POINT, *OPTIONS}
    schema = schema_of({})
    assert set(types) < set(schema.names)
    assert {"time_ps", "energy_fj", "limit", "limit_share", "spans"} < set(types)


def test_the_document_is_made_from_the_declarations():
    """`python -m nsim.result.columns.document > RESULTS.md` writes it anew."""
    text = (Path(__file__).parents[2] / "RESULTS.md").read_text(encoding="utf-8")
    assert text == document()


def test_values_that_do_not_fit_their_type_are_refused():
    from nsim.result.columns.column import count, ratio
    from nsim.result.result import data_frame

    with pytest.raises(TypeError):
        data_frame((count("spikes", "spikes"),), {"spikes": [1.5]})
    empty = data_frame((count("spikes", "spikes"), ratio("share", "share")), {"spikes": [], "share": []})
    assert [dtype.kind for dtype in empty.dtypes] == ["i", "f"]
    assert np.isnan(data_frame((ratio("share", "share"),), {"share": [None, 1.0]})["share"][0])
