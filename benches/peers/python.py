"""The echo tool on the Python SDK's own server: stateless streamable HTTP with JSON answers."""

import json
import socket

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("echo", log_level="WARNING")


@server.tool(structured_output=False)
def echo(text: str) -> str:
    """Returns the text that it was given."""
    return text


# Named as TCP, because asyncio sets TCP_NODELAY on no other socket.
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
print(json.dumps({"address": "127.0.0.1:%d" % listener.getsockname()[1]}), flush=True)
app = server.streamable_http_app(json_response=True, stateless_http=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
