"""The Python SDK 2.x as a client of the demonstration tools: Streamable HTTP, HTTP+SSE, stdio, both eras.

usage: python_v2.py [--mode legacy|modern|auto|sse] (--url URL | --stdio CMD ARGS...)

Prints one JSON line per step and exits with 0 if all went well, else 1. A failed step does not end the run:
the lines together are the diagnosis. Only a step past its deadline does, and a failed `connect`.

`modern` pins 2026-07-28 (without asking the server first): the SDK then answers `input_required` results by
itself, with the same two callbacks that answer a server's requests in the session era, and calls again.
"""

import argparse
import asyncio
import json
import os
import sys

import anyio
from mcp import Client, StdioServerParameters, types
from mcp.client.sse import sse_client

STEP_DEADLINE_SECONDS = 20
MODES = {"legacy": "legacy", "sse": "legacy", "auto": "auto", "modern": "2026-07-28"}


async def elicit(_context, _params):
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def sample(_context, _params):
    answer = types.TextContent(type="text", text="a short summary")
    return types.CreateMessageResult(role="assistant", model="test-model", stop_reason="endTurn", content=answer)


def text_of(result):
    assert not result.is_error, f"the tool failed: {result.content}"
    first = result.content[0]
    assert first.type == "text" and first.text, f"no text block: {result.content}"
    return first.text


async def call_echo(client):
    sent = "hello ☃"
    text = text_of(await client.call_tool("echo", {"text": sent}))
    assert text == sent, f"echo answered {text!r}"
    return text


async def list_tools(client):
    tools = (await client.list_tools()).tools
    assert tools, "no tools"
    return [tool.name for tool in tools]


async def progress(client):
    seen = []

    async def on_progress(value, _total, _message):
        seen.append(value)

    # As many steps as the TypeScript drivers ask for, for the reason given there.
    result = await client.call_tool("countdown", {"from": 5, "interval_ms": 20}, progress_callback=on_progress)
    text = text_of(result)
    assert len(seen) >= 3, f"only {len(seen)} progress notifications"
    assert all(a < b for a, b in zip(seen, seen[1:])), f"not increasing: {seen}"
    return {"progress": seen, "text": text}


async def ask_name(client):
    text = text_of(await client.call_tool("ask_name", {}))
    assert "Ada" in text, f"the answer is missing: {text}"
    return text


async def summarize(client):
    text = text_of(await client.call_tool("summarize", {"text": "a long story about a short summary"}))
    assert "a short summary" in text, f"the sampled text is missing: {text}"
    return text


async def read_clock(client):
    contents = (await client.read_resource("clock://now")).contents
    assert contents and contents[0].text, f"no text: {contents}"
    return contents[0].text


async def greet(client):
    messages = (await client.get_prompt("greet", {"name": "Ada"})).messages
    texts = [message.content.text for message in messages]
    assert any("Ada" in text for text in texts), f"no Ada: {texts}"
    return texts


async def cancel(client):
    with anyio.CancelScope() as scope:

        async def on_progress(_value, _total, _message):
            scope.cancel()

        await client.call_tool("countdown", {"from": 1000, "interval_ms": 50}, progress_callback=on_progress)
    assert scope.cancelled_caught, "the cancelled call returned a result"
    # The same connection must still be of use.
    await call_echo(client)
    return "cancelled"


STEPS = {
    "list": list_tools,
    "call": call_echo,
    "progress": progress,
    "elicit": ask_name,
    "sample": summarize,
    "resource": read_clock,
    "prompt": greet,
    "cancel": cancel,
}


class Steps:
    """Runs one step at a time and remembers whether one failed."""

    failed = False

    async def run(self, name, work):
        # Not a cancel scope: connecting enters scopes that stay open, and these would not nest.
        complaint = f"no end within {STEP_DEADLINE_SECONDS} s"
        deadline = asyncio.get_running_loop().call_later(STEP_DEADLINE_SECONDS, self.give_up, name, complaint)
        try:
            self.report(name, True, await work)
        except BaseException as error:  # a dying transport cancels this task; say so before going down
            self.report(name, False, describe(error))
            if not isinstance(error, Exception):
                raise
        finally:
            deadline.cancel()

    def report(self, name, ok, detail):
        self.failed |= not ok
        print(json.dumps({"step": name, "ok": ok, "detail": detail}, ensure_ascii=False), flush=True)

    def give_up(self, name, complaint):
        self.report(name, False, complaint)
        os._exit(1)


def describe(error):
    """The innermost reason; task groups wrap it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=MODES, default="legacy")
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--url")
    server.add_argument("--stdio", nargs=argparse.REMAINDER, metavar=("CMD", "ARGS"))
    options = parser.parse_args()
    if options.stdio is not None and not options.stdio:
        parser.error("--stdio needs a command")
    if options.mode == "sse" and not options.url:
        parser.error("--mode sse needs --url")
    return options


async def main():
    options = parse_arguments()
    if options.stdio:
        server = StdioServerParameters(command=options.stdio[0], args=options.stdio[1:])
    elif options.mode == "sse":
        server = sse_client(options.url)
    else:
        server = options.url
    client = Client(
        server,
        mode=MODES[options.mode],
        elicitation_callback=elicit,
        sampling_callback=sample,
        client_info=types.Implementation(name="switchboard-test-client", version="1.0.0"),
    )
    steps = Steps()

    async def connect():
        await client.__aenter__()
        server = client.server_info
        return {"protocol_version": client.protocol_version, "server": server and server.name}

    await steps.run("connect", connect())
    if steps.failed:
        return 1
    for name, step in STEPS.items():
        await steps.run(name, step(client))
    await steps.run("close", client.__aexit__(None, None, None))
    return int(steps.failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
