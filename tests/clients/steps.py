"""What the Python drivers share: arguments, the fixed list of steps, one JSON line per step.

Exits with 0 if all went well, else 1. A failed step does not end the run: the lines together are the
diagnosis. Only a step past its deadline does, and a failed `connect`.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import urllib.request
from urllib.parse import urljoin

import anyio

STEP_DEADLINE_SECONDS = 20
POLL_SECONDS = 0.02

CLIENT = {"name": "switchboard-test-client", "version": "1.0.0"}
# The answers this client gives when the server asks.
NAME = {"name": "Ada"}
SUMMARY = "a short summary"


class Host:
    """A client package behind the few verbs the steps are told with. Each driver says how it is done there."""

    def __init__(self, options):
        # Where the server is; a child is nowhere, and has no page of metrics.
        self.url = options.url
        self.interrupted = options.interrupted
        self.without = options.without

    async def connect(self):
        """Connects and returns the negotiated version and the server's name (or nothing)."""
        raise NotImplementedError

    async def tools(self):
        raise NotImplementedError

    async def call(self, name, arguments, on_progress=None):
        """Calls a tool and returns whether it failed, and its content. `on_progress` takes one number."""
        raise NotImplementedError

    async def contents(self, uri):
        raise NotImplementedError

    async def messages(self, prompt, arguments):
        raise NotImplementedError

    async def before_giving_up(self):
        """What must be said before the last call is abandoned, where the package does not say it by itself."""

    async def close(self):
        raise NotImplementedError


async def text_of(host, name, arguments, **how):
    failed, content = await host.call(name, arguments, **how)
    assert not failed, f"the tool failed: {content}"
    first = content[0]
    assert first.type == "text" and first.text, f"no text block: {content}"
    return first.text


async def echo(host):
    sent = "hello ☃"
    text = await text_of(host, "echo", {"text": sent})
    assert text == sent, f"echo answered {text!r}"
    return text


async def list_tools(host):
    tools = await host.tools()
    assert tools, "no tools"
    return [tool.name for tool in tools]


async def progress(host):
    seen = []

    async def on_progress(value):
        seen.append(value)

    # As many steps as the TypeScript drivers ask for, for the reason given there.
    text = await text_of(host, "countdown", {"from": 5, "interval_ms": 20}, on_progress=on_progress)
    assert len(seen) >= 3, f"only {len(seen)} progress notifications"
    assert all(a < b for a, b in zip(seen, seen[1:])), f"not increasing: {seen}"
    return {"progress": seen, "text": text}


async def ask_name(host):
    text = await text_of(host, "ask_name", {})
    assert NAME["name"] in text, f"the answer is missing: {text}"
    return text


async def summarize(host):
    text = await text_of(host, "summarize", {"text": f"a long story about {SUMMARY}"})
    assert SUMMARY in text, f"the sampled text is missing: {text}"
    return text


async def read_clock(host):
    contents = await host.contents("clock://now")
    assert contents and contents[0].text, f"no text: {contents}"
    return contents[0].text


async def greet(host):
    messages = await host.messages("greet", dict(NAME))
    texts = [message.content.text for message in messages]
    assert any(NAME["name"] in text for text in texts), f"the name is missing: {texts}"
    return texts


async def cancel(host):
    with anyio.CancelScope() as scope:

        async def on_progress(_value):
            await host.before_giving_up()
            scope.cancel()

        await host.call("countdown", {"from": 1000, "interval_ms": 50}, on_progress=on_progress)
    assert scope.cancelled_caught, "the cancelled call returned a result"
    await server_gave_up(host.url)
    # The same connection must still be of use.
    await echo(host)
    return "cancelled"


async def survive(host):
    """Tells that a call runs, then how it ended and what was told meanwhile: the test judges."""
    seen = []

    async def on_progress(value):
        seen.append(value)
        if len(seen) == 3:
            print(json.dumps({"step": "running", "ok": True}), flush=True)

    try:
        end = await text_of(host, "countdown", {"from": 40, "interval_ms": 50}, on_progress=on_progress)
    except Exception as error:
        end = describe(error)
    return {"end": end, "progress": seen}


async def server_gave_up(url):
    """Waits until the server counts a call given up: leaving would end it too, and hide that nothing was said."""
    counted = re.compile(r'^mcp_requests_total{method="tools/call",.*outcome="cancelled"} [1-9]', re.MULTILINE)
    while url and not counted.search(await asyncio.to_thread(page, urljoin(url, "/metrics"))):
        await asyncio.sleep(POLL_SECONDS)


def page(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


STEPS = {
    "list": list_tools,
    "call": echo,
    "progress": progress,
    "elicit": ask_name,
    "sample": summarize,
    "resource": read_clock,
    "prompt": greet,
    "cancel": cancel,
}
# Only a call that the test breaks.
INTERRUPTED = {"survive": survive, "call": echo}


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


def parse_arguments(modes):
    """Reads `--url URL | --stdio CMD ARGS...` and how to go about it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=modes, default="legacy")
    parser.add_argument("--without", type=lambda names: names.split(","), default=[], metavar="STEP,...")
    parser.add_argument("--interrupted", action="store_true")
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--url")
    server.add_argument("--stdio", nargs=argparse.REMAINDER, metavar=("CMD", "ARGS"))
    options = parser.parse_args()
    if options.stdio is not None and not options.stdio:
        parser.error("--stdio needs a command")
    if options.mode == "sse" and not options.url:
        parser.error("--mode sse needs --url")
    return options


async def every_step(host):
    steps = Steps()
    await steps.run("connect", connected(host))
    if not steps.failed:
        for name, step in (INTERRUPTED if host.interrupted else STEPS).items():
            if name not in host.without:
                await steps.run(name, step(host))
        await steps.run("close", host.close())
    return int(steps.failed)


async def connected(host):
    version, server = await host.connect()
    return {"protocol_version": version, "server": server and server.name}


def run(host):
    """Takes every step and ends the process."""
    sys.exit(asyncio.run(every_step(host)))
