#!/usr/bin/env bash
# Puts a gateway before the server of a client scenario, and drives that as `conformance.sh` does the server itself.
set -u
here=$(mktemp -d)
trap 'kill "$gateway"; wait "$gateway"; rm -r "$here"' EXIT
cat >"$here/switchboard.toml" <<TOML
[endpoints.main]
upstreams = ["suite"]
[upstreams.suite]
url = "${!#}"
prefix = ""
TOML
cd "$here" || exit
"$SWITCHBOARD_BINARY" serve --listen 127.0.0.1:0 --store memory: >welcome &
gateway=$!
until url=$(grep -om1 'http://[^ ]*/mcp' welcome); do kill -0 "$gateway" && sleep 0.05 || exit; done
"$(dirname "$0")/conformance.sh" "$url"
