"""A front that answers with files, as a process of its own: `python file_front.py PORT FOLDER`.

GET /NAME sends the file of that name; `?5-10,b-c` of it the bytes from 5 up to 10, and so on, with `|` between them.
GET /-/descriptors tells how many are open. It runs on uvloop where there is one, as thrust does, until SIGTERM.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from thrust.http.headers import Headers
from thrust.http.message import FileContent, Request, Response
from thrust.http.ranges import Range
from thrust.server.front import Front, Timeouts
from thrust.server.http1 import Http1Connection
from thrust.server.listener import Listener, bind

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop


async def answer(request: Request) -> Response:
    name, _, wanted = request.target.decode()[1:].partition("?")
    if name == "-/descriptors":
        return Response(200, Headers(), b"%d" % len(os.listdir("/proc/self/fd")))
    fd = os.open(name, os.O_RDONLY)
    segments: list[bytes | Range] = []
    for part in filter(None, wanted.split(",")):
        start, stop = part.split("-")
        segments += [b"|", (int(start), int(stop))]
    content = FileContent(fd, segments[1:] or [(0, os.fstat(fd).st_size)], asyncio.to_thread)
    return Response(200, Headers(), content, content_length=content.length)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    front = Front(answer, [], Timeouts(120, 30, 30), lambda error: Response(400, Headers()))
    listener = Listener(loop, bind("127.0.0.1", port), front, lambda: Http1Connection(front, loop))
    await listener.start()
    print(type(loop).__module__, flush=True)
    await stopping.wait()
    listener.stop_accepting()
    await listener.drained(10)


if __name__ == "__main__":
    os.chdir(Path(sys.argv[2]))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
