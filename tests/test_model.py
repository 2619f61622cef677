"""Models, open enums, UNSET, and what reprs hide."""

import copy
import importlib
import json
import pickle
import sys
from collections.abc import Hashable
from enum import Enum

import attrs
import pytest

from kelviq_async import UNSET, Customer, FeatureType, Page, SubscriptionStatus, codec, operations
from kelviq_async.model import NOTHING, Model, OpenEnum, Unset, field, is_model, model

list(operations())  # loads every area
importlib.import_module("kelviq_async.webhooks.events")


def below(cls):
    for each in cls.__subclasses__():
        # attrs makes a slotted class of the one that was written; that one is still about
        if getattr(sys.modules[each.__module__], each.__name__, None) is each:
            yield each
        yield from below(each)


MODELS = sorted({each for each in below(Model) if each.__module__.startswith("kelviq_async.")}, key=repr)
REQUESTS = [operation.request for operation in operations()]
ENUMS = sorted({each for each in below(OpenEnum) if len(each)}, key=repr)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@model
class Thing(Model):
    name: str
    token: str = field(secret=True)
    note: str | None = None


def copies(value):
    yield copy.copy(value)
    yield copy.deepcopy(value)
    for protocol in PROTOCOLS:
        yield pickle.loads(pickle.dumps(value, protocol))  # noqa: S301  our own


class TestUnset:
    def test_there_is_one_and_it_is_false(self):
        assert not UNSET
        assert repr(UNSET) == "UNSET"
        assert Unset("UNSET") is UNSET
        assert all(each is UNSET for each in copies(UNSET))


class TestOpenEnum:
    @pytest.mark.parametrize("cls", ENUMS, ids=lambda cls: cls.__name__)
    def test_a_known_value_is_its_member_and_its_text(self, cls):
        for member in cls:
            assert cls.other(member.value) is member
            assert member.known
            assert member == member.value
            assert hash(member) == hash(member.value)
            assert str(member) == f"{member}" == member.value
            assert type(str(member)) is str
            assert all(each is member for each in copies(member))

    @pytest.mark.parametrize("cls", ENUMS, ids=lambda cls: cls.__name__)
    def test_an_unknown_value_is_a_text_like_any_other(self, cls):
        value = cls.other("one of tomorrow's")
        assert not value.known
        assert isinstance(value, cls)
        assert value == "one of tomorrow's" == str(value) == f"{value}" == value.value
        assert hash(value) == hash("one of tomorrow's")
        assert {"one of tomorrow's": 1}[value] == 1
        assert value != "another"
        assert json.dumps([value]) == '["one of tomorrow\'s"]'
        assert codec.encode([value, *cls]) == json.dumps([value, *cls], separators=(",", ":")).encode()
        for each in copies(value):
            assert each == value
            assert type(each) is cls
            assert not each.known
        assert "one of tomorrow's" in repr(value)

    def test_an_unknown_value_does_not_join_the_enum(self):
        before = list(SubscriptionStatus)
        SubscriptionStatus.other("paused")
        assert list(SubscriptionStatus) == before
        with pytest.raises(ValueError, match="paused"):
            SubscriptionStatus("paused")

    def test_known_values_are_compared_by_text_and_not_by_name(self):
        assert {"active": 1}[SubscriptionStatus.ACTIVE] == 1
        assert sorted([SubscriptionStatus.ACTIVE, "aa", SubscriptionStatus.other("zz")]) == [
            "aa",
            "active",
            "zz",
        ]

    @pytest.mark.parametrize(
        ("old", "member"), [("FLAG", FeatureType.BOOLEAN), ("LIMIT", FeatureType.CUSTOMIZABLE)]
    )
    def test_old_words_mean_the_new_members(self, old, member):
        assert FeatureType.other(old) is member
        assert old not in set(FeatureType)

    def test_words_are_exact(self):
        assert not FeatureType.other("boolean").known
        assert not FeatureType.other("").known

    @pytest.mark.parametrize("cls", ENUMS, ids=lambda cls: cls.__name__)
    def test_the_words_that_are_methods_too_do_not_hide_them(self, cls):
        assert not {"other", "known"} & set(cls.__members__)


class TestNothing:
    @pytest.mark.parametrize(
        "change",
        [
            lambda it: it.__setitem__("a", 1),
            lambda it: it.__delitem__("a"),
            lambda it: it.update(a=1),
            lambda it: it.setdefault("a", 1),
            lambda it: it.pop("a"),
            lambda it: it.popitem(),
            lambda it: it.clear(),
            lambda it: it.__ior__({"a": 1}),
        ],
    )
    def test_what_all_models_share_cannot_be_changed(self, change):
        with pytest.raises(TypeError, match="shared"):
            change(NOTHING)
        assert NOTHING == {}

    def test_it_stays_one(self):
        assert all(each is NOTHING for each in copies(NOTHING))
        assert codec.load(Customer, {}).extra is NOTHING
        assert Customer().extra is NOTHING
        for each in copies(Customer()):
            assert each.extra is NOTHING

    def test_what_is_made_of_it_is_ones_own(self):
        mine = NOTHING | {"a": 1}
        mine["b"] = 2
        assert NOTHING.copy() == {}
        assert type(NOTHING.copy()) is dict


class TestModel:
    @pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
    def test_every_model_can_do_without_everything(self, cls):
        value = cls()
        assert all(getattr(value, each.name) is None for each in codec.fields(cls))
        assert value == codec.load(cls, {})
        assert not hasattr(value, "__dict__")
        assert cls.__doc__

    @pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
    def test_models_are_frozen(self, cls):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            cls().extra = {}

    def test_copies_are_equal_and_keep_what_came(self):
        raw = {"name": 5, "token": None, "note": "n", "later": [1]}
        value = codec.load(Thing, raw)
        for each in copies(value):
            assert each == value
            assert codec.dump(each) == raw
            assert codec.dump(attrs.evolve(each, name="new")) == raw | {"name": "new"}

    def test_equality_is_about_fields_and_extras(self):
        assert Thing(name="a") == Thing(name="a")
        assert Thing(name="a") != Thing(name="a", extra={"b": 1})

    def test_models_have_no_hash_and_say_so(self):
        assert not isinstance(Thing(), Hashable)
        with pytest.raises(TypeError, match="unhashable type: 'Thing'"):
            hash(Thing())

    def test_is_model(self):
        assert is_model(Customer)
        assert is_model(Page[Customer])
        assert not any(is_model(each) for each in (str, list[Customer], Customer | None, Enum, None, 5))


class TestSecrets:
    def test_reprs_hide_them(self):
        shown = repr(Thing(name="shown", token="hidden", note="also shown"))
        assert shown == "Thing(name='shown', note='also shown', extra={})"

    def test_reprs_show_only_the_names_of_what_nobody_knew(self):
        shown = repr(codec.load(Thing, {"later": "hidden", "more": {"deep": "hidden"}, "name": ["hidden"]}))
        assert "hidden" not in shown
        assert "extra=<later, more>" in shown

    @pytest.mark.parametrize("cls", [*MODELS, *REQUESTS], ids=lambda cls: cls.__name__)
    def test_every_secret_of_every_class_is_hidden(self, cls):
        given = {
            each.name: "hidden" if each.metadata.get("secret") else "shown"
            for each in attrs.fields(cls)
            if each.name not in {"extra", "_kept"}
        }
        assert "hidden" not in repr(cls(**given))

    @pytest.mark.parametrize("cls", [*MODELS, *REQUESTS], ids=lambda cls: cls.__name__)
    def test_fields_whose_name_says_so_are_secret(self, cls):
        telling = ("email", "license_key", "token", "checkout_url", "portal_url", "server_key", "client_key")
        telling += ("download_url", "ip_address", "payment_link", "payload", "tax_id", "billing_address")
        told = [
            each for each in attrs.fields(cls) if each.name.endswith(telling) and each.name != "lock_email"
        ]
        assert [each.name for each in told if each.repr] == []

    def test_links_to_pages_repeat_the_query_and_are_hidden(self):
        page = Page(results=[], count=0, next="https://api.kelviq.com/?customer_email=ada@example.com")
        assert "ada" not in repr(page)
