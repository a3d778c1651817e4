"""A server of the Python SDK 2.x on standard input and output, over HTTP+SSE, or over HTTP."""

import socket
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("python")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


if "--stdio" in sys.argv:
    server.run("stdio")
elif "--sse" in sys.argv:
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/sse", flush=True)
    config = uvicorn.Config(server.sse_app(), log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])
else:
    server.run("streamable-http", port=int(sys.argv[1]))
