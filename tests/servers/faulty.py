"""A server on standard input and output that fails as it is told.

    faulty.py session|stateless [leaves|deaf|lists_and_leaves|starts_slowly]

Its tools are the faults of a server that otherwise works. `STARTS` names a file that gets a line for each start:
the time in seconds. `NAMES` names a file of further tools, a line for each, which all its processes share; the tool
`learn` adds one and tells that the list changed.
"""

import json
import os
import sys
import time

ERA, *MODE = sys.argv[1:]
TOOLS = ("fine", "count", "hangs", "leaves", "garbage", "long_line", "wrong_id", "twice", "to_nothing", "no_json",
         "duplicate_keys", "array", "array_result", "flood", "asks", "stops_reading", "half_a_line", "closes_input",
         "leaves_reading", "learn", "tells_much", "waits", "long_lines", "endless_line")
LONG = 20 << 20
FLOOD = 10 << 20
MUCH = 300
SLOW = 7
calls = 0
waiting = []


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(id, result):
    say(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}))


def text(said):
    return {"content": [{"type": "text", "text": said}]}


def forever():
    while True:
        time.sleep(60)


def learned():
    names = os.environ.get("NAMES", "")
    return open(names).read().split() if os.path.exists(names) else []


def call(id, name, meta):
    global calls
    calls += 1
    if name == "count":
        return answer(id, text(str(calls)))
    if name == "hangs":
        return None
    if name == "leaves":
        os._exit(3)
    if name == "garbage":
        for line in ("hello", "{", "[]", "null", '"x"', "{}", '{"jsonrpc":"1.0"}', "\x00\x1b[31m", ""):
            say(line)
    if name == "long_line":
        say('{"jsonrpc":"2.0","id":%d,"result":{"x":"%s"}}' % (id, "x" * LONG))
        while waiting:
            answer(waiting.pop(), text("fine"))
        return None
    if name == "waits":
        return waiting.append(id)
    if name == "long_lines":
        while True:
            say("x" * (2 << 20))
    if name == "endless_line":
        while True:
            sys.stdout.write("x" * 65536)
    if name == "wrong_id":
        return answer(id + 1_000_000, text("not yours"))
    if name == "twice":
        answer(id, text("fine"))
        return answer(id, text("again"))
    if name == "to_nothing":
        answer(id + 1_000_000, text("not yours"))
    if name == "no_json":
        return say('{"jsonrpc":"2.0","id":%d,"result":{' % id)
    if name == "duplicate_keys":
        return say('{"jsonrpc":"2.0","id":%d,"result":{"content":[]},"result":{"content":[]}}' % id)
    if name == "array":
        return say('["%d"]' % id)
    if name == "array_result":
        return answer(id, [])
    if name == "flood":
        line = json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                           "params": {"level": "info", "data": "x" * 1_000}})
        for _ in range(FLOOD // len(line)):
            say(line)
    if name == "asks":
        say(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}}))
    if name == "stops_reading":
        forever()
    if name == "half_a_line":
        sys.stdout.write('{"jsonrpc":"2.0","id":%d,"resul' % id)
        sys.stdout.flush()
        forever()
    if name == "closes_input":
        answer(id, text("fine"))
        os.close(0)
        forever()
    if name == "leaves_reading":
        answer(id, text("fine"))
        os.read(0, 1)
        os._exit(3)
    if name == "learn":
        with open(os.environ["NAMES"], "a") as names:
            names.write("learned\n")
        say(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))
    if name == "tells_much":
        for at in range(MUCH):
            say(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress",
                            "params": {"progressToken": meta["progressToken"], "progress": at, "message": "x" * (1 << 20)}}))
    return answer(id, text("fine"))


def serve():
    for line in sys.stdin:
        message = json.loads(line)
        id, method = message.get("id"), message.get("method")
        if id is None or method is None:
            continue
        if method == "initialize":
            answer(id, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": "NAMES" in os.environ}},
                        "serverInfo": {"name": "faulty", "version": "1"}})
        elif method == "server/discover" and ERA == "stateless":
            answer(id, {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                        "ttlMs": 0, "cacheScope": "private"})
        elif method == "tools/list":
            answer(id, {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in (*TOOLS, *learned())]})
            if MODE == ["lists_and_leaves"]:
                return
        elif method == "tools/call":
            call(id, message["params"]["name"], message["params"].get("_meta", {}))
        elif method == "ping":
            answer(id, {})
        else:
            say(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "unknown method"}}))


if "STARTS" in os.environ:
    with open(os.environ["STARTS"], "a") as starts:
        starts.write("%f\n" % time.monotonic())
if MODE == ["deaf"]:
    forever()
if MODE == ["starts_slowly"]:
    time.sleep(SLOW)
if MODE != ["leaves"]:
    serve()
