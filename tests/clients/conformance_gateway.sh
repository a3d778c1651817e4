#!/usr/bin/env bash
# Puts a gateway before the server of a client scenario, and drives that as `conformance.sh` does the server itself.
# Where the gateway asks for somebody to log in, there is a browser that agrees to everything.
set -u
here=$(mktemp -d)
mkfifo "$here/said"
trap 'kill "$gateway"; wait "$gateway" "$browser"; rm -r "$here"' EXIT
clients=$(dirname "$0")
cat >"$here/switchboard.toml" <<TOML
[endpoints.main]
upstreams = ["suite"]
[upstreams.suite]
url = "${!#}"
prefix = ""
TOML
case $MCP_CONFORMANCE_SCENARIO in
auth/*) "$PYTHON" "$clients/conformance_auth.py" "${!#}" >>"$here/switchboard.toml" || exit ;;
esac
cd "$here" || exit
while read -r line; do
    echo "$line" >&2
    case $line in
    *'waits for somebody to log in'*) curl -sSL -o visited "$(grep -o 'http://[^ "]*/login/[^ "]*' <<<"$line")" ;;
    esac
done <said &
browser=$!
"$SWITCHBOARD_BINARY" serve --listen 127.0.0.1:0 --store memory: >welcome 2>said &
gateway=$!
until url=$(grep -om1 'http://[^ ]*/mcp' welcome); do kill -0 "$gateway" && sleep 0.05 || exit; done
"$clients/conformance.sh" "$url"
