"""Checks what is in deploy/ against published schemas, offline, and prints it as JSON.

    manifests.py COMPOSE_SCHEMA COMPOSE MANIFEST...

Every object of the manifests is checked strictly: a field that Kubernetes does not know is an error. What is
printed is one line per document: {"file": NAME, "document": {...}}. Ends with 1 if anything is wrong.
"""

import json
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

# The oldest release that knows every field used; those are not taken back later.
KUBERNETES = "1.30"


def complaints(check, *arguments):
    try:
        check(*arguments)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        path = ".".join(str(part) for part in error.path)
        return [f"{path}: {error.message}"]
    return []


def of_kubernetes(document):
    return complaints(lambda: kubernetes_validate.validate(document, KUBERNETES, strict=True))


def of_compose(schema):
    return lambda document: complaints(jsonschema.validators.validator_for(schema)(schema).validate, document)


def main():
    schema, compose, *manifests = map(Path, sys.argv[1:])
    checks = [(compose, of_compose(json.loads(schema.read_text())))]
    checks += [(manifest, of_kubernetes) for manifest in manifests]
    wrong = False
    for file, check in checks:
        for document in yaml.safe_load_all(file.read_text()):
            for complaint in check(document):
                wrong = True
                print(f"{file}: {complaint}", file=sys.stderr)
            print(json.dumps({"file": file.name, "document": document}))
    return int(wrong)


sys.exit(main())
