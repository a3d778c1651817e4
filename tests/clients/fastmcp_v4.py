"""The FastMCP 4.x client on the demonstration tools: Streamable HTTP, HTTP+SSE, stdio, both eras.

usage: fastmcp_v4.py [--mode legacy|modern|auto|sse] (--url URL | --stdio CMD ARGS...)
"""

from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from mcp import types

import steps

MODES = {"legacy": "legacy", "sse": "legacy", "auto": "auto", "modern": "2026-07-28"}


async def elicit(_message, answer_type, _params, _context):
    # It makes a class of the form that is asked for.
    return answer_type(**steps.NAME)


async def sample(_messages, _params, _context):
    return steps.SUMMARY


def transport_of(options):
    if options.stdio:
        # Kept alive, the child would outlive the client, for the next one.
        return StdioTransport(command=options.stdio[0], args=options.stdio[1:], keep_alive=False)
    return SSETransport(options.url) if options.mode == "sse" else StreamableHttpTransport(options.url)


class FastMcp(steps.Host):
    def __init__(self, options):
        super().__init__(options)
        self.client = Client(
            transport_of(options),
            mode=MODES[options.mode],
            elicitation_handler=elicit,
            sampling_handler=sample,
            client_info=types.Implementation(**steps.CLIENT),
        )

    async def connect(self):
        await self.client.__aenter__()
        return self.client.protocol_version, self.client.server_info

    async def tools(self):
        return await self.client.list_tools()

    async def call(self, name, arguments, on_progress=None):
        async def progressed(value, _total, _message):
            await on_progress(value)

        handler = on_progress and progressed
        result = await self.client.call_tool(name, arguments, progress_handler=handler, raise_on_error=False)
        return result.is_error, result.content

    async def contents(self, uri):
        return await self.client.read_resource(uri)

    async def messages(self, prompt, arguments):
        return (await self.client.get_prompt(prompt, arguments)).messages

    async def close(self):
        await self.client.__aexit__(None, None, None)


if __name__ == "__main__":
    steps.run(FastMcp(steps.parse_arguments(MODES)))
