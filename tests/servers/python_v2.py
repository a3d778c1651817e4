"""A server of the Python SDK 2.x on standard input and output, or over HTTP."""

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("python")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


if "--stdio" in sys.argv:
    server.run("stdio")
else:
    server.run("streamable-http", port=int(sys.argv[1]))
