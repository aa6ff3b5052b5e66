"""A thousand readers of one turn, and a thousand clients who come back at once."""

import asyncio
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from tests.faults.oracle import check_log, check_reader
from tests.faults.reading import log_of
from tests.server.service import serving, turnwire_over
from tests.server.wire import Wire, opened
from turnwire_protocol import Ack, Event, SendBody, fold, parse_event
from turnwire_server.core.conversations import Conversations
from turnwire_server.core.follower import Follower, Frame
from turnwire_server.core.limits import Limits
from turnwire_server.core.options import Policy
from turnwire_server.core.turn import Services
from turnwire_server.model.claude import Claude
from turnwire_server.model.claude import connect as connect_model
from turnwire_server.store.sqlite import SqliteStore
from turnwire_server.tools.toolset import Toolset
from turnwire_simulator import Answer, Gate, Simulator, Text
