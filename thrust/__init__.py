"""thrust: an in-container wrapper around a Python app server.

`thrust COMMAND…` starts the command as its worker on a private port and is itself what clients talk to.
The program's parts are described by the head of each file; `handlers/chain.py` is the one to read first.
"""

__version__ = "0.1.0"
