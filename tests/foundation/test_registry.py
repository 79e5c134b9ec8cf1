"""Custom objects and serialized forms."""

from __future__ import annotations

import threading

import pytest

from rnnpack import registry
from rnnpack.registry import CustomObjectScope, deserialize_keras_object, serialize_keras_object


class Thing:
    def __init__(self, size=1):
        self.size = size

    def get_config(self):
        return {"size": self.size}

    @classmethod
    def from_config(cls, config):
        return cls(config.pop("size"))


def doubled(x):
    return 2 * x


@pytest.fixture(autouse=True)
def clean():
    objects, names = dict(registry._custom_objects), dict(registry._registered_names)
    yield
    for current, saved in ((registry._custom_objects, objects), (registry._registered_names, names)):
        current.clear()
        current.update(saved)


def test_round_trip_through_module_objects():
    config = serialize_keras_object(Thing(3))
    assert config == {"class_name": "Thing", "config": {"size": 3}}
    thing = deserialize_keras_object(config, {"Thing": Thing})
    assert (type(thing), thing.size) == (Thing, 3)
    assert config["config"] == {"size": 3}  # from_config pops, but not from the caller's dict


def test_registered_names():
    registry.register_keras_serializable("pkg")(Thing)
    registry.register_keras_serializable(name="twice")(doubled)
    assert serialize_keras_object(Thing(2))["class_name"] == "pkg>Thing"
    assert deserialize_keras_object(serialize_keras_object(Thing(2))).size == 2
    assert serialize_keras_object(doubled) == "Custom>twice"
    assert deserialize_keras_object("Custom>twice") is doubled
    assert registry.get_registered_name(Thing) == "pkg>Thing"
    assert registry.get_registered_object("pkg>Thing") is Thing
    assert registry.get_registered_object("nobody") is None


def test_registering_twice_or_without_get_config_fails():
    registry.register_keras_serializable("pkg")(Thing)
    with pytest.raises(ValueError, match="already registered"):
        registry.register_keras_serializable("pkg")(Thing)
    with pytest.raises(ValueError, match="already registered"):
        registry.register_keras_serializable("other")(Thing)
    with pytest.raises(ValueError, match="get_config"):
        registry.register_keras_serializable("pkg")(type("Plain", (), {}))


def test_scopes_nest_end_and_stay_in_their_thread():
    seen = []
    with CustomObjectScope({"Thing": Thing}), registry.custom_object_scope({"doubled": doubled}):
        assert deserialize_keras_object("doubled") is doubled
        assert deserialize_keras_object("Thing").size == 1
        thread = threading.Thread(target=lambda: seen.append(registry.get_registered_object("Thing")))
        thread.start()
        thread.join()
    assert seen == [None]
    with pytest.raises(ValueError, match="Unknown object: Thing"):
        deserialize_keras_object("Thing")


def test_scope_ends_when_its_body_fails():
    with pytest.raises(RuntimeError), CustomObjectScope({"Thing": Thing}):
        raise RuntimeError
    assert registry.get_registered_object("Thing") is None


def test_order_of_lookup():
    first, second, third, fourth = (type("Thing", (Thing,), {}) for _ in range(4))
    assert registry.get_registered_object("Thing", None, {"Thing": fourth}) is fourth
    registry.get_custom_objects()["Thing"] = third
    assert registry.get_registered_object("Thing", None, {"Thing": fourth}) is third
    with CustomObjectScope({"Thing": second}):
        assert registry.get_registered_object("Thing", None, {"Thing": fourth}) is second
        assert registry.get_registered_object("Thing", {"Thing": first}, {"Thing": fourth}) is first


def test_custom_objects_reach_nested_configs():
    class Outer:
        def __init__(self, inner):
            self.inner = inner

        @classmethod
        def from_config(cls, config):
            return cls(deserialize_keras_object(config["inner"]))

    class OuterWithArgument(Outer):
        @classmethod
        def from_config(cls, config, custom_objects=None):
            return cls(deserialize_keras_object(config["inner"], custom_objects=custom_objects))

    config = {"class_name": "Outer", "config": {"inner": serialize_keras_object(Thing(4))}}
    for cls in (Outer, OuterWithArgument):
        assert deserialize_keras_object(config, None, {"Outer": cls, "Thing": Thing}).inner.size == 4
        with CustomObjectScope({"Outer": cls, "Thing": Thing}):
            assert deserialize_keras_object(config).inner.size == 4


def test_classes_without_from_config_and_newer_files():
    class Plain:
        def __init__(self, a):
            self.a = a

    config = {"module": "x", "class_name": "Old", "registered_name": "New", "config": {"a": 5}}
    assert deserialize_keras_object(config, None, {"New": Plain}).a == 5
    assert deserialize_keras_object(config, None, {"Old": Plain}).a == 5


def test_what_is_not_serialized():
    assert serialize_keras_object(None) is None
    assert deserialize_keras_object(None) is None
    assert deserialize_keras_object(doubled) is doubled
    with pytest.raises(ValueError, match="Cannot serialize"):
        serialize_keras_object(3)


def test_bad_forms():
    with pytest.raises(ValueError, match="Unknown layer: Nope"):
        deserialize_keras_object({"class_name": "Nope", "config": {}}, printable_module_name="layer")
    with pytest.raises(ValueError, match="Improper config format"):
        deserialize_keras_object({"class_name": "Thing"})
    with pytest.raises(ValueError, match="Could not interpret serialized layer"):
        deserialize_keras_object(3, printable_module_name="layer")
