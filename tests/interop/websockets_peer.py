"""The PyPI package `websockets` as the peer of tests/interop/run. It talks over one connection, says "done" and exits
with status 0 if all went well.

    websockets_peer.py client URL MESSAGES OPTIONS     sends the messages, and each must come back
    websockets_peer.py server drive MESSAGES OPTIONS   the same from the server's end
    websockets_peer.py server echo MESSAGES OPTIONS    sends back what comes
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

ROLE, TARGET, PATH = sys.argv[1:4]
# It compresses whatever the length.
OPTIONS = {name: value for name, value in json.loads(sys.argv[4]).items() if name != "threshold"}
# Nothing is sent but what the messages say, and nothing is too long or too late.
PLAIN = {"compression": None, "max_size": None, "ping_interval": None, "open_timeout": None, "close_timeout": None}

with open(PATH + ".json", encoding="utf-8") as file:
    SCRIPT = json.load(file)
with open(PATH + ".bin", "rb") as file:
    BLOB = file.read()


class Wrong(Exception):
    pass


def payload(message):
    return BLOB[message["offset"]:message["offset"] + message["length"]]


async def back(socket, message):
    echo = await socket.recv()
    if isinstance(echo, bytes) != (message["type"] == "binary"):
        raise Wrong(f"the echo of \"{message['name']}\" has the other type")
    echo = echo if isinstance(echo, bytes) else echo.encode()
    if echo != payload(message):
        raise Wrong(f"the echo of \"{message['name']}\" differs, {len(echo)} bytes")


async def drive(socket):
    pings = 0

    async def ping():
        nonlocal pings
        pings += 1
        await (await socket.ping(f"ping {pings}"))  # returns when the Pong has come

    async def pieces(message):
        at = message["offset"]
        for index, length in enumerate(message["pieces"]):
            if index > 0:
                await ping()
            yield BLOB[at:at + length]
            at += length

    async def burst():
        for index in SCRIPT["burst"]:
            message = SCRIPT["messages"][index]
            await socket.send(payload(message), text=message["type"] == "text")

    for message in SCRIPT["messages"]:
        text = message["type"] == "text"
        await ping()
        whole = len(message["pieces"]) == 1
        await socket.send(payload(message) if whole else pieces(message), text=text)
        await back(socket, message)
    sending = asyncio.ensure_future(burst())
    for index in SCRIPT["burst"]:
        await back(socket, SCRIPT["messages"][index])
    await sending
    await socket.close(1000)


async def talk(socket, driving):
    names = [extension.name for extension in socket.protocol.extensions]
    if names != ["permessage-deflate"]:
        raise Wrong(f"the extensions are {names}")
    try:
        if driving:
            await drive(socket)
        else:
            async for message in socket:
                await socket.send(message)
    except ConnectionClosed as closed:
        raise Wrong(f"closed too early: {closed}") from closed
    await socket.wait_closed()
    if socket.close_code != 1000:
        raise Wrong(f"closed with {socket.close_code}")


async def main():
    if ROLE == "client":
        offer = ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **OPTIONS})
        async with connect(TARGET, extensions=[offer], proxy=None, **PLAIN) as socket:
            await talk(socket, True)
        return
    ended = asyncio.get_running_loop().create_future()

    async def handler(socket):
        try:
            await talk(socket, TARGET == "drive")
            ended.set_result(None)
        except BaseException as error:
            ended.set_exception(error)

    accept = ServerPerMessageDeflateFactory(**OPTIONS)
    async with serve(handler, "127.0.0.1", 0, extensions=[accept], **PLAIN) as server:
        print(f"listening on ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await ended


try:
    asyncio.run(main())
except Wrong as wrong:
    print(f"FAILED: {wrong}")
    sys.exit(1)
print("done")
