#!/usr/bin/env bash
# Drives `switchboard tools` through a client scenario of the official conformance suite, which appends its server's URL.
# SWITCHBOARD_BINARY is the command; the suite says which scenario, which revision and, for some, which calls.
set -u
url=${!#}
# The first version of the suite does not say it.
: "${MCP_CONFORMANCE_PROTOCOL_VERSION:=2025-11-25}"
tools() { "$SWITCHBOARD_BINARY" tools "$@" --url "$url" --protocol-version "$MCP_CONFORMANCE_PROTOCOL_VERSION"; }
names() { tools ls --output json | "$PYTHON" -c 'import json, sys; [print(tool["name"]) for tool in json.load(sys.stdin)["tools"]]'; }
# Somebody at a terminal who types the same line at each question.
with_somebody_typing() {
    local typed=$1 tool=$2
    yes "$typed" | head -n 40 | script -qefc \
        "'$SWITCHBOARD_BINARY' tools call $tool --url $url --protocol-version $MCP_CONFORMANCE_PROTOCOL_VERSION" /dev/null
}

case $MCP_CONFORMANCE_SCENARIO in
initialize | json-schema-ref-no-deref) tools ls ;;
# It rejects the first version it is offered.
request-metadata) "$SWITCHBOARD_BINARY" tools ls --url "$url" ;;
tools_call) tools call add_numbers --arg a=5 --arg b=3 ;;
sse-retry) tools call test_reconnection ;;
elicitation-sep1034-client-defaults) with_somebody_typing '' test_client_elicitation_defaults ;;
sep-2322-client-request-state)
    for name in $(names); do with_somebody_typing y "$name"; done
    ;;
http-custom-headers)
    "$PYTHON" - "$url" <<'PYTHON'
import json, os, subprocess, sys
for call in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
    subprocess.run([os.environ["SWITCHBOARD_BINARY"], "tools", "call", call["name"], "--json",
                    json.dumps(call["arguments"]), "--url", sys.argv[1]])
PYTHON
    ;;
json-schema-2020-12-preservation)
    schema=$(tools ls --output json | "$PYTHON" -c 'import json, sys
tools = json.load(sys.stdin)["tools"]
schema = next(tool["inputSchema"] for tool in tools if tool["name"] == "json_schema_2020_12_tool")
print(json.dumps({"schema": schema}))')
    tools call json_schema_echo --json "$schema"
    ;;
http-standard-headers | http-invalid-tool-headers)
    for name in $(names); do tools call "$name" --json '{"region": "x"}'; done
    ;;
auth/*)
    tools ls
    tools call test-tool
    ;;
*) echo "unknown scenario $MCP_CONFORMANCE_SCENARIO" >&2 && exit 2 ;;
esac
# What a call comes to is the suite's to judge.
exit 0
