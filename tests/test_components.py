"""Components are read from their source text: all of what they declare, without importing any of it."""

from __future__ import annotations

import textwrap

import pytest

from counterpoise.components import component, components, read_components
from counterpoise.errors import UserError

HEAD = '@method(name="thing", title="Thing", family="loss", paper="p", source="s"{extra})\nclass Thing:\n'


@pytest.fixture
def read(tmp_path):
    """Read the methods that a source text declares; running the text would fail."""

    def run(text: str):
        file = tmp_path / "thing.py"
        file.write_text("import no_such_module\n" + textwrap.dedent(text), encoding="utf-8")
        return read_components("method", "thing", file)

    return run


@pytest.fixture
def thing(read):
    """Read one method whose class body is given."""

    def run(body: str = "    pass", extra: str = ""):
        (found,) = read(HEAD.format(extra=extra) + textwrap.indent(textwrap.dedent(body), "    "))
        return found

    return run


def test_a_declaration_is_read_without_running_the_file(thing):
    found = thing('rate: float = setting(0.5, above=0.0, doc="how fast")', extra=', needs=("weight_slices",)')
    assert (found.name, found.class_name, found.module) == ("thing", "Thing", "thing")
    assert found.info.needs == ("weight_slices",)
    assert found.settings["rate"].default == 0.5
    assert found.settings["rate"].bounds.doc == "how fast"


def test_a_file_without_a_declaration_declares_nothing(read):
    assert read("class Thing:\n    rate: float = 0.5\n") == []


def test_fields_that_are_no_settings_are_left_alone(thing):
    assert list(thing("x: int = 3\ny: int = setting(4)\nz = 5").settings) == ["y"]


def test_settings_are_the_defaults_with_what_is_given_over_them(thing):
    found = thing("a: int = setting(1)\nb: float = setting(2.0)")
    assert found.resolve({"b": 3}, "here") == {"a": 1, "b": 3.0}


@pytest.mark.parametrize(
    ("declaration", "good", "bad"),
    [
        ("x: int = setting(1, minimum=1)", [1, 5], [0, -1, 1.5, "1", True, None]),
        ("x: float = setting(1.0, above=0.0, below=2.0)", [0.1, 1], [0.0, 2.0, "a", True]),
        ("x: float | None = setting(None, maximum=1.0)", [None, 1.0, -3], [1.1, "x"]),
        ("x: str = setting('a', choices=('a', 'b'))", ["a", "b"], ["c", 1, None]),
        ("x: bool = setting(True)", [True, False], [1, "true", None]),
        ("x: list[int] = setting([1])", [[], [1, 2]], [[1.5], 3, ["a"]]),
        ("x: tuple[int, int] = setting((1, 2))", [[3, 4]], [[1], [1, 2, 3], 5]),
        ("x: dict[str, float] = setting({})", [{}, {"a": 1.5}], [{"a": "b"}, []]),
    ],
)
def test_values_are_checked_against_type_and_bounds(thing, declaration, good, bad):
    found = thing(declaration)
    for value in good:
        assert found.resolve({"x": value}, "here")["x"] == value
    for value in bad:
        with pytest.raises(UserError, match=r"^here: 'x(\.\d+|\.a)?'|^here: the key 'x\.\d'"):
            found.resolve({"x": value}, "here")


def test_resolved_settings_are_plain_data(thing):
    found = thing("x: tuple[int, int] = setting((1, 2))\ny: dict[str, int] = setting({'a': 1})")
    assert found.resolve({}, "here") == {"x": [1, 2], "y": {"a": 1}}


def test_an_unknown_setting_gets_the_nearest_one(thing):
    with pytest.raises(UserError, match="unknown key 'rte'; did you mean 'rate'"):
        thing("rate: float = setting(0.5)").resolve({"rte": 1.0}, "here")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x: float = setting(1 / 3)", "'1 / 3' must be a literal"),
        ("x: float = setting(DEFAULT)", "'DEFAULT' must be a literal"),
        ("x: float = setting()", "has no default"),
        ("x: float = setting(1.0, abov=0)", "unknown keyword 'abov'; did you mean 'above'"),
        ("x: Tensor = setting(1.0)", "'Tensor' is no type"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_with_its_line(thing, body, said):
    with pytest.raises(UserError, match=rf"thing\.py:\d+: .*{said}"):
        thing(body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('@method(nam="x", title="X", family="loss", paper="", source="")', "unknown keyword 'nam'"),
        ('@method(name="x", title="X", paper="", source="")', "the keyword 'family' is missing"),
        ('@method(name="a/b", title="X", family="loss", paper="", source="")', "'a/b' must be of letters"),
        ('@method(name="a-b", title="X", family="loss", paper="", source="")', "'a-b' must be of letters"),
        ('@method(name=NAME, title="X", family="loss", paper="", source="")', "'NAME' must be a literal"),
        ('@method(name="x", title="X", family="los", paper="", source="")', "unknown family 'los'; did you"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_named_with_its_line(read, text, said):
    with pytest.raises(UserError, match=rf"thing\.py:\d+: .*{said}"):
        read(f"{text}\nclass X:\n    pass\n")


@pytest.mark.parametrize("kind", ["method", "dataset", "encoder", "fusion"])
def test_an_unknown_component_gets_the_nearest_one(kind):
    name = next(iter(components(kind)))
    with pytest.raises(UserError, match=f"^place: unknown {kind} '{name}x'; did you mean '{name}'"):
        component(kind, f"{name}x", "place")


@pytest.mark.parametrize("kind", ["method", "dataset", "encoder", "fusion"])
def test_the_defaults_and_variants_of_every_built_in_component_are_valid(kind):
    assert components(kind)
    for found in components(kind).values():
        required = {"modality": "any"} if getattr(found.info, "trains", "") == "single" else {}
        for variant in getattr(found.info, "variants", {"": {}}).values():
            found.resolve({**required, **variant.get("settings", {})}, found.name)


class _Entry:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value


def test_a_family_that_is_not_the_classes_is_refused(read):
    declaration = '@method(name="x", title="X", family="{}", paper="", source="")\nclass X(LossMethod):\n    pass\n'
    assert read(declaration.format("loss"))
    with pytest.raises(UserError, match="says family 'modulation', and its class is a LossMethod, of family 'loss'"):
        read(declaration.format("modulation"))


@pytest.fixture
def entry_points(monkeypatch, tmp_path):
    """Pretend that packages with entry points are installed."""
    from counterpoise import components as module
    from counterpoise.identity import module_file

    monkeypatch.syspath_prepend(tmp_path)

    def install(texts: dict[str, str]) -> None:
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
        entries = [_Entry(name, f"{name}:Thing") for name in texts]
        monkeypatch.setattr(module.importlib.metadata, "entry_points", lambda group: entries)
        components.cache_clear()
        module_file.cache_clear()

    yield install
    components.cache_clear()
    module_file.cache_clear()


def test_a_third_party_method_is_found_by_its_entry_point(entry_points):
    entry_points({"cp_third": HEAD.format(extra="") + "    pass\nraise ImportError"})
    assert component("method", "thing").module == "cp_third"
    assert "mmpareto" in components("method")


def test_a_third_party_method_cannot_take_a_name_that_is_taken(entry_points):
    entry_points({"cp_third": HEAD.format(extra="").replace("thing", "mmpareto") + "    pass"})
    with pytest.raises(UserError, match=r"'mmpareto' is already declared in .*mmpareto\.py"):
        components("method")


def test_an_entry_point_without_its_module_is_named(entry_points, tmp_path):
    entry_points({"cp_gone": ""})
    (tmp_path / "cp_gone.py").unlink()
    with pytest.raises(UserError, match=r"entry point cp_gone .* no module 'cp_gone'"):
        components("method")
