"""What holds for every area: descriptions are whole, and answers that may be empty may be."""

import importlib
import inspect
import pkgutil
import re

import pytest

from kelviq_async import Host, Key, Message, OpenEnum, api, codec, operations
from kelviq_async.errors import CodecError
from kelviq_async.model import Model
from kelviq_async.request import Namespace, call, pages

OPERATIONS = list(operations())
AREAS = [
    importlib.import_module(each.name) for each in pkgutil.iter_modules(api.__path__, f"{api.__name__}.")
]
CLASSES = [
    value
    for area in AREAS
    for value in vars(area).values()
    if isinstance(value, type) and value.__module__ == area.__name__
]
MODELS = [each for each in CLASSES if issubclass(each, Model)]
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)


def documented(cls, heading):
    """The names that a docstring explains under a heading."""
    _, found, rest = inspect.getdoc(cls).partition(f"\n{heading}:\n")
    return re.findall(r"^    (\w+): \S", rest.partition("\n\n")[0], re.MULTILINE) if found else []


class TestDescriptions:
    @every_operation
    def test_arguments_are_explained_in_their_order(self, operation):
        assert documented(operation.request, "Args") == [each.name for each in operation.fields]

    @pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
    def test_attributes_are_explained_in_their_order(self, cls):
        own = [name for name in inspect.get_annotations(cls) if name in dict(fields_of(cls))]
        assert documented(cls, "Attributes") == own

    @every_operation
    def test_the_part_of_the_api_is_named(self, operation):
        text = " ".join(inspect.getdoc(operation.request).split())
        found = re.search(r"Kelviq API: ([A-Z]+) (/\S+?)( \(provisional\))?\.( |$)", text)
        assert found is not None
        assert found[1] == operation.method
        assert re.sub(r"{\w+}", "{}", found[2]) == re.sub(r"{\w+}", "{}", operation.path)
        assert bool(found[3]) is operation.provisional

    @every_operation
    def test_only_the_provisional_names_a_source(self, operation):
        assert operation.provisional is bool(operation.source)
        for each in operation.fields:
            assert each.metadata.get("provisional") in {None, "official SDKs", "guides"}

    @pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
    def test_every_class_says_what_it_is(self, cls):
        first = inspect.getdoc(cls).partition("\n")[0]
        assert first.endswith((".", ")."))
        assert first != inspect.getdoc(OpenEnum).partition("\n")[0]


def fields_of(cls):
    return ((each.name, each) for each in codec.fields(cls))


class TestOperations:
    def test_every_operation_hangs_on_one_namespace_of_its_area(self):
        hung = {}
        for cls in CLASSES:
            if issubclass(cls, Namespace):
                for name, value in vars(cls).items():
                    if isinstance(value, call):
                        hung.setdefault(value.request, []).append((cls.__module__, name))
        assert set(hung) == {each.request for each in OPERATIONS}
        for operation in OPERATIONS:
            assert [module for module, _ in hung[operation.request]] == [operation.request.__module__]

    def test_every_list_of_pages_can_be_walked(self):
        walked = {
            value.request
            for cls in CLASSES
            if issubclass(cls, Namespace)
            for value in vars(cls).values()
            if isinstance(value, pages)
        }
        lists = {each.request for each in OPERATIONS if each.name.startswith("List")}
        assert walked == lists

    def test_13_lists_are_really_paged(self):
        paged = {each.name for each in OPERATIONS if "page" in {field.name for field in each.fields}}
        assert len(paged) == 13
        whole = {each.name for each in OPERATIONS if each.name.startswith("List")} - paged
        assert whole == {"ListPlanPrices", "ListPlanFeatures", "ListOrganizations"}

    def test_which_host_and_key(self):
        edge = {each.name: each.keys for each in OPERATIONS if each.host is Host.EDGE}
        assert edge == {"GetEntitlements": (Key.CLIENT, Key.SERVER), "GetPromotion": (Key.CLIENT,)}
        partner = {each.name for each in OPERATIONS if each.keys == (Key.PARTNER,)}
        assert partner == {each.name for each in OPERATIONS if each.area == "partner"}
        assert [each.name for each in OPERATIONS if not each.keys] == ["LocatePlanFile"]

    def test_which_may_be_sent_again_while_their_fate_is_unknown(self):
        writes = {each.name for each in OPERATIONS if each.method != "GET" and each.repeatable}
        assert writes == {
            "ArchiveCustomer",
            "ArchiveFeature",
            "ArchivePlan",
            "ArchiveProduct",
            "PreviewSubscriptionUpdate",
            "ReportEvent",
            "ValidateLicense",
        }
        assert all(each.repeatable for each in OPERATIONS if each.method == "GET")

    @every_operation
    def test_an_empty_answer_is_one_only_where_there_is_nothing_to_tell(self, operation):
        request = operation.request(**{each.name: "a" for each in operation.fields if each.required})
        if operation.method == "DELETE":
            assert request.read(204, None, {}) in [None, Message()]
            assert request.read(200, None, {}) in [None, Message()]
        elif operation.name != "LocatePlanFile":
            with pytest.raises(CodecError):
                request.read(200, None, {})
