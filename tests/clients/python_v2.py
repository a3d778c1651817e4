"""The Python SDK 2.x as a client of the demonstration tools: Streamable HTTP, HTTP+SSE, stdio, both eras.

usage: python_v2.py [--mode legacy|modern|auto|sse] (--url URL | --stdio CMD ARGS...)

`modern` pins 2026-07-28 (without asking the server first): the SDK then answers `input_required` results by
itself, with the same two callbacks that answer a server's requests in the session era, and calls again.
"""

from mcp import Client, StdioServerParameters, types
from mcp.client.sse import sse_client

import steps

MODES = {"legacy": "legacy", "sse": "legacy", "auto": "auto", "modern": "2026-07-28"}


async def elicit(_context, _params):
    return types.ElicitResult(action="accept", content=steps.NAME)


async def sample(_context, _params):
    answer = types.TextContent(type="text", text=steps.SUMMARY)
    return types.CreateMessageResult(role="assistant", model="test-model", stop_reason="endTurn", content=answer)


def server_of(options):
    if options.stdio:
        return StdioServerParameters(command=options.stdio[0], args=options.stdio[1:])
    return sse_client(options.url) if options.mode == "sse" else options.url


class PythonSdk(steps.Host):
    def __init__(self, options):
        super().__init__(options)
        self.client = Client(
            server_of(options),
            mode=MODES[options.mode],
            elicitation_callback=elicit,
            sampling_callback=sample,
            client_info=types.Implementation(**steps.CLIENT),
        )

    async def connect(self):
        await self.client.__aenter__()
        return self.client.protocol_version, self.client.server_info

    async def tools(self):
        return (await self.client.list_tools()).tools

    async def call(self, name, arguments, on_progress=None):
        async def progressed(value, _total, _message):
            await on_progress(value)

        result = await self.client.call_tool(name, arguments, progress_callback=on_progress and progressed)
        return result.is_error, result.content

    async def contents(self, uri):
        return (await self.client.read_resource(uri)).contents

    async def messages(self, prompt, arguments):
        return (await self.client.get_prompt(prompt, arguments)).messages

    async def close(self):
        await self.client.__aexit__(None, None, None)


if __name__ == "__main__":
    steps.run(PythonSdk(steps.parse_arguments(MODES)))
