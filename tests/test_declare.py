"""A declaration makes a class that can be built from settings and never changes."""

from __future__ import annotations

import dataclasses

import pytest

from counterpoise.declare import Bounds, MethodInfo, encoder, method, setting


@method(name="thing", title="Thing", family="loss", paper="", source="a test")
class Thing:
    rate: float = setting(0.5, above=0.0, doc="how fast")
    parts: list[int] = setting([1, 2])


def test_settings_have_their_defaults_and_take_values_by_name():
    assert (Thing().rate, Thing().parts) == (0.5, [1, 2])
    assert Thing(rate=2.0).rate == 2.0


@pytest.mark.parametrize("build", [lambda: Thing(0.5), lambda: Thing(speed=1)])
def test_settings_are_given_by_name_and_known(build):
    with pytest.raises(TypeError):
        build()


def test_settings_cannot_be_changed():
    thing = Thing()
    with pytest.raises(dataclasses.FrozenInstanceError):
        thing.rate = 1.0


def test_no_two_instances_share_a_default_list():
    first, second = Thing(), Thing()
    first.parts.append(3)
    assert second.parts == [1, 2]
    assert Thing().parts == [1, 2]


def test_the_class_carries_its_information():
    assert isinstance(Thing.info, MethodInfo)
    assert (Thing.info.name, Thing.info.trains, Thing.info.tasks) == ("thing", "all", False)


def test_bounds_travel_with_the_field():
    (rate, _) = dataclasses.fields(Thing)
    assert rate.metadata["bounds"] == Bounds(above=0.0, doc="how fast")


def test_a_declaration_with_an_unknown_keyword_is_an_error():
    with pytest.raises(TypeError):
        encoder(name="x", title="X", colour="red")(type("X", (), {}))


def test_no_two_methods_share_their_variants():
    @method(name="a", title="A", family="loss", paper="", source="")
    class A:
        pass

    @method(name="b", title="B", family="loss", paper="", source="")
    class B:
        pass

    assert A.info.variants == B.info.variants == {"published": {}}
    assert A.info.variants is not B.info.variants
