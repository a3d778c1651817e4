"""Writes how a gateway is let in by the server of an `auth/` scenario: the table that its operator would write."""

import json
import os
import sys
import urllib.request

server = sys.argv[1]
scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))


def issuer():
    """Operators know who issues for their upstreams. Where the suite does not say, its server does."""
    if "issuer" in context:
        return context["issuer"]
    origin, _, path = server.partition("/mcp")
    with urllib.request.urlopen(f"{origin}/.well-known/oauth-protected-resource/mcp{path}") as answer:
        return json.load(answer)["authorization_servers"][0]


# The one document that the suite knows; it is shown where an authorization server takes documents.
table = {
    "kind": "authorization_code",
    "client_document": "https://conformance-test.local/client-metadata.json",
}
if "client_id" in context:
    table = {"kind": "authorization_code", "issuer": issuer(), "client_id": context["client_id"]}
if "client_secret" in context:
    table["client_secret"] = "text:" + context["client_secret"]
if "private_key_pem" in context:
    table["private_key"] = "text:" + context["private_key_pem"]
if scenario.startswith("auth/client-credentials"):
    table["kind"] = "client_credentials"
if "idp_id_token" in context:
    table |= {
        "kind": "cross_app",
        "provider": context["idp_issuer"],
        "provider_token_url": context["idp_token_endpoint"],
        "provider_client_id": context["idp_client_id"],
        "identity": "text:" + context["idp_id_token"],
    }
print("[upstreams.suite.auth]")
for key, value in table.items():
    # A string of JSON is one of TOML.
    print(key, "=", json.dumps(value))
