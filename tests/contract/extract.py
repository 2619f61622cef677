"""Write the facts of Kelviq's OpenAPI file, without its sentences.

    python tests/contract/extract.py OPENAPI.json [OUT.json]

What comes out (``kelviq-v1.json`` beside this file, unless named) is what the contract test compares the
registry of requests with: operations, parameters, bodies, answers, schemas and the values of the examples.
Descriptions, summaries and titles stay behind, and so do ``x-`` extensions and tags. A keyword that this
script does not know is an error, so that a newer file cannot lose a fact in silence.

How to read it:

* A *fact* is a schema: ``{"ref": Name}``, or ``type``, ``format``, ``enum``, ``fields`` (an object's own
  fields by name), ``items``, ``additionalProperties`` (true, false or a fact), ``oneOf``, ``example``,
  ``default`` and limits. ``allOf`` is merged into one fact, ``nullable`` may stand beside a ``ref``, and an
  empty fact is anything.
* ``required``, ``nullable``, ``readOnly`` and ``exclusiveMinimum`` stand only where they are true, and
  ``required`` stands on the field or parameter itself (a body's own ``required`` is always there).
* ``examples`` is always a map: the document's own names, or ``"example"`` for the one without a name.
* Enums, lists of names and all keys are sorted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

OUT = Path(__file__).with_name("kelviq-v1.json")
VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SCHEMA_PREFIX = "#/components/schemas/"

PROSE = {"description", "summary", "title", "externalDocs", "tags"}
"""Keywords that hold sentences. A field, or a key in an example, may have the same name: that one is kept."""

PLAIN = {"type", "format", "example", "default", "minimum", "maximum", "minLength", "maxLength", "pattern"}
FLAGS = {"nullable", "readOnly", "writeOnly", "deprecated", "exclusiveMinimum", "exclusiveMaximum"}
STRUCTURE = {"$ref", "enum", "required", "properties", "items", "additionalProperties", "oneOf", "allOf"}


class NotUnderstood(ValueError):
    """The file uses something that this script would lose."""


def known(where: str, node: Json, *keywords: str) -> None:
    """Raise `NotUnderstood` for a keyword that is neither prose, nor an extension, nor one of `keywords`."""
    unknown = {key for key in node if not key.startswith("x-")} - PROSE - set(keywords)
    if unknown:
        raise NotUnderstood(f"{where}: {', '.join(sorted(unknown))}")


def name_of(reference: str) -> str:
    """The schema's name in a `$ref`."""
    if not reference.startswith(SCHEMA_PREFIX):
        raise NotUnderstood(reference)
    return reference.removeprefix(SCHEMA_PREFIX)


def fact(where: str, schema: Json, schemas: Json) -> Json:
    """The facts of one schema, with its `allOf` merged and its nested schemas inside."""
    known(where, schema, *PLAIN, *FLAGS, *STRUCTURE)
    out: Json = {key: schema[key] for key in PLAIN & schema.keys()}
    out |= {key: True for key in FLAGS & schema.keys() if schema[key]}
    if "$ref" in schema:
        out["ref"] = name_of(schema["$ref"])
    if "enum" in schema:
        out["enum"] = sorted(schema["enum"], key=str)
    if "items" in schema:
        out["items"] = fact(f"{where}[]", schema["items"], schemas)
    if "additionalProperties" in schema:
        rest = schema["additionalProperties"]
        out["additionalProperties"] = rest if isinstance(rest, bool) else fact(f"{where}{{}}", rest, schemas)
    if "oneOf" in schema:
        out["oneOf"] = [fact(f"{where}|{index}", one, schemas) for index, one in enumerate(schema["oneOf"])]
    properties: Json = schema.get("properties", {})
    fields = {name: fact(f"{where}.{name}", field, schemas) for name, field in properties.items()}
    for part in schema.get("allOf", ()):
        merged = fact(where, schemas[name_of(part["$ref"])] if "$ref" in part else part, schemas)
        fields = merged.pop("fields", {}) | fields
        out = merged | out
    for name in schema.get("required", ()):
        if name not in fields:
            raise NotUnderstood(f"{where}: requires {name}, which is no field of it")
        fields[name]["required"] = True
    if fields:
        out["fields"] = fields
    return out


def examples(where: str, node: Json) -> Json:
    """The example values of a body by name; the nameless one is called "example"."""
    out: Json = {"example": node["example"]} if "example" in node else {}
    for name, example in node.get("examples", {}).items():
        known(f"{where} example {name}", example, "value")
        out[name] = example["value"]
    return out


def body(where: str, node: Json, schemas: Json) -> Json:
    """The JSON content of a request or an answer: `schema` (None where there is none) and `examples`."""
    content: Json = node.get("content", {})
    known(f"{where} content", content, "application/json")
    media: Json = content.get("application/json", {})
    known(where, media, "schema", "example", "examples")
    schema = media.get("schema")
    return {
        "schema": None if schema is None else fact(where, schema, schemas),
        "examples": examples(where, media),
    }


def answer(where: str, node: Json, schemas: Json) -> Json:
    """One documented answer: its body and, if there are any, its headers."""
    known(where, node, "content", "headers")
    out = body(where, node, schemas)
    for name, header in node.get("headers", {}).items():
        known(f"{where} header {name}", header, "schema", "required", "example")
        out.setdefault("headers", {})[name] = fact(f"{where} header {name}", header["schema"], schemas)
    return out


def parameter(where: str, node: Json, schemas: Json) -> Json:
    """One parameter: its schema's facts, with `required` and the parameter's own example among them."""
    known(where, node, "name", "in", "required", "schema", "example")
    out = fact(where, node["schema"], schemas)
    if "example" in node:
        out["example"] = node["example"]
    if node.get("required"):
        out["required"] = True
    return out


def key_schemes(security: list[Json]) -> list[str]:
    """The names of the schemes of which any one opens the operation; empty if it needs no key."""
    for alternative in security:
        if len(alternative) != 1:
            raise NotUnderstood(f"security: {alternative}")
    return sorted(name for alternative in security for name in alternative)


def host(servers: list[Json]) -> str:
    """Which host the servers are: "edge" if their names start so, else "core"."""
    edges = {(urlsplit(server["url"]).hostname or "").startswith("edge.") for server in servers}
    if len(edges) != 1:
        raise NotUnderstood(f"servers: {servers}")
    return "edge" if edges.pop() else "core"


def operation(path: str, verb: str, document: Json) -> Json:
    """The facts of one operation, what its path item declares for all of its verbs included."""
    item: Json = document["paths"][path]
    node: Json = item[verb]
    schemas: Json = document["components"]["schemas"]
    where = f"{verb.upper()} {path}"
    known(path, item, *VERBS, "parameters", "servers")
    known(where, node, "operationId", "parameters", "requestBody", "responses", "security", "servers")
    out: Json = {
        "operationId": node["operationId"],
        "method": verb.upper(),
        "path": path,
        "host": host(node.get("servers") or item.get("servers") or document["servers"]),
        "security": key_schemes(node["security"] if "security" in node else document["security"]),
        "pathParameters": {},
        "queryParameters": {},
        "requestBody": None,
        "responses": {
            status: answer(f"{where} {status}", each, schemas) for status, each in node["responses"].items()
        },
    }
    for each in (*item.get("parameters", ()), *node.get("parameters", ())):
        if each["in"] not in ("path", "query"):
            raise NotUnderstood(f"{where}: a parameter in {each['in']}")
        out[f"{each['in']}Parameters"][each["name"]] = parameter(f"{where} {each['name']}", each, schemas)
    if "requestBody" in node:
        known(where, node["requestBody"], "required", "content")
        out["requestBody"] = body(where, node["requestBody"], schemas)
        out["requestBody"]["required"] = bool(node["requestBody"].get("required"))
    return out


def verbs(document: Json) -> Iterator[tuple[str, str]]:
    """Every operation's path and verb."""
    return ((path, verb) for path, item in document["paths"].items() for verb in VERBS if verb in item)


def references(node: Any) -> Iterator[str]:
    """The names of all schemas that `node` points to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield name_of(node["$ref"])
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def unreachable(document: Json) -> list[str]:
    """The schemas that no operation leads to."""
    schemas: Json = document["components"]["schemas"]
    left, seen = list(references(document["paths"])), set[str]()
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left.extend(references(schemas[name]))
    return sorted(schemas.keys() - seen)


def extract(document: Json) -> Json:
    """The facts of a whole OpenAPI document."""
    known("document", document, "openapi", "info", "servers", "components", "security", "paths")
    known("components", document["components"], "schemas", "securitySchemes")
    schemas: Json = document["components"]["schemas"]
    schemes: Json = document["components"]["securitySchemes"]
    found = [operation(path, verb, document) for path, verb in verbs(document)]
    by_id = {each["operationId"]: each for each in found}
    if len(by_id) != len(found):
        raise NotUnderstood("two operations have the same operationId")
    hosts: dict[str, set[str]] = {"core": set(), "edge": set()}
    items: Json = document["paths"]
    for node in (document, *items.values(), *(items[path][verb] for path, verb in verbs(document))):
        for server in node.get("servers", ()):
            hosts[host([server])].add(server["url"])
    return {
        "version": document["info"]["version"],
        "hosts": {name: sorted(urls) for name, urls in hosts.items()},
        "securitySchemes": {
            name: {key: value for key, value in scheme.items() if key not in PROSE}
            for name, scheme in schemes.items()
        },
        "operations": by_id,
        "schemas": {name: fact(name, schema, schemas) for name, schema in schemas.items()},
        "unreachable": unreachable(document),
    }


def main(arguments: list[str]) -> None:
    """Read the OpenAPI file named first, write its facts to the file named second or beside this script."""
    if len(arguments) not in (1, 2):
        raise SystemExit("usage: python tests/contract/extract.py OPENAPI.json [OUT.json]")
    out = Path(arguments[1]) if len(arguments) > 1 else OUT
    facts = extract(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    out.write_text(json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
