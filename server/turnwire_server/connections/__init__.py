"""The connections of `serve`, from their accept to their end, bounded in number and in work.

Behind another server (uvicorn with an app of your own) that server's bounds count, not these.
"""

from turnwire_server.connections.acceptor import Acceptor
from turnwire_server.connections.descriptors import raise_descriptors, room_for_connections
from turnwire_server.connections.http import HardenedHttpProtocol
from turnwire_server.connections.reading import Line, Window
from turnwire_server.connections.room import Place, Room
from turnwire_server.connections.websocket import HardenedProtocol

__all__ = [
    "Acceptor",
    "HardenedHttpProtocol",
    "HardenedProtocol",
    "Line",
    "Place",
    "Room",
    "Window",
    "raise_descriptors",
    "room_for_connections",
]
