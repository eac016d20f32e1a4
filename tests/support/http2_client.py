"""An HTTP/2 client on a real socket, over TLS or by prior knowledge; the state machine is that of the `h2` library.

It blocks, and every wait for the other side is bounded. Several requests can be under way: whoever waits for one of
them takes in whatever comes for the others. Windows are given back as content arrives unless `gives_credit` is False,
and bodies are kept unless `keeps_content` is. What a server must not do is found by h2, which raises ProtocolError.
"""

import contextlib
import select
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support.e2e_client import BOUND_S, RECEIVE_BYTES, Ended, FieldLine

WINDOW_BYTES = 1 << 20

_Codes = h2.settings.SettingCodes


@dataclass
class Answer:
    """A response, as far as it has come; `interim` holds the heads with 1xx that came before it."""

    fields: list[FieldLine] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    body_bytes: int = 0
    trailers: list[FieldLine] = field(default_factory=list)
    interim: list[list[FieldLine]] = field(default_factory=list)
    has_ended: bool = False
    reset_code: int | None = None

    @property
    def is_over(self) -> bool:
        return self.has_ended or self.reset_code is not None

    @property
    def status(self) -> int:
        """0 until the head has come."""
        return int(self.get(":status") or 0)

    def get(self, name: str) -> str | None:
        """The value of the field, None if it is missing; there must not be two."""
        values = [value for key, value in self.fields if key == name]
        assert len(values) <= 1, f"{name} comes {len(values)} times"
        return values[0] if values else None


class Http2Client:
    """One connection to 127.0.0.1:`port`; over TLS if there is a `context`, which has to offer h2."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        window_bytes: int = WINDOW_BYTES,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.authority = f"127.0.0.1:{port}"
        self.scheme = "https" if context else "http"
        self.gives_credit = self.keeps_content = True
        self.answers: dict[int, Answer] = {}
        self.goaways: list[h2.events.ConnectionTerminated] = []
        self._received = bytearray()
        self.socket = socket.socket()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        try:
            self.socket.settimeout(BOUND_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer_bytes is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            self.socket.connect(("127.0.0.1", port))
            if context:
                self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
                assert self.socket.selected_alpn_protocol() == "h2"
            self._greet(window_bytes)
        except BaseException:
            self.socket.close()
            raise

    def _greet(self, window_bytes: int) -> None:
        settings: Any = {_Codes.INITIAL_WINDOW_SIZE: window_bytes, _Codes.ENABLE_PUSH: 0}
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(max(window_bytes, 1 << 20))
        self.flush()
        self.until(lambda: self.h2.remote_settings.max_concurrent_streams < 1 << 31)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    # Sending

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def begin(
        self, method: str, path: str, *fields: FieldLine, ends: bool = True, pseudo: Iterable[FieldLine] = ()
    ) -> int:
        """Sends the head of a request; the number of its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", self.scheme), (":authority", self.authority), (":path", path)]
        self.answers[stream_id] = Answer()
        self.h2.send_headers(stream_id, [*head, *pseudo, *fields], end_stream=ends)
        self.flush()
        return stream_id

    def sendable(self, stream_id: int) -> int:
        """How many bytes the server takes now, in one frame."""
        if self.answers[stream_id].is_over:
            return 0
        return min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)

    def send(self, stream_id: int, content: bytes, *, ends: bool = False) -> int:
        """Sends content, as the windows allow; how much, which is less if the stream is over before."""
        left = memoryview(content)
        while left:
            self.until(lambda: self.sendable(stream_id) > 0 or self.answers[stream_id].is_over)
            size = min(self.sendable(stream_id), len(left))
            if not size:
                return len(content) - len(left)
            self.h2.send_data(stream_id, bytes(left[:size]), end_stream=ends and size == len(left))
            left = left[size:]
            self.flush()
        if ends and not content:
            self.h2.end_stream(stream_id)
            self.flush()
        return len(content)

    def send_trailers(self, stream_id: int, *fields: FieldLine) -> None:
        self.h2.send_headers(stream_id, list(fields), end_stream=True)
        self.flush()

    def reset(self, stream_id: int) -> None:
        self.h2.reset_stream(stream_id, 8)
        self.flush()

    # Receiving

    def exchange(self, method: str, path: str, *fields: FieldLine, body: bytes | None = None) -> Answer:
        """The answer to a request, complete."""
        stream_id = self.begin(method, path, *fields, ends=body is None)
        if body is not None:
            self.send(stream_id, body, ends=True)
        return self.wait(stream_id)

    def get(self, path: str, *fields: FieldLine) -> Answer:
        return self.exchange("GET", path, *fields)

    def wait(self, stream_id: int) -> Answer:
        """The answer on a stream, once it has ended well."""
        answer = self.answers[stream_id]
        self.until(lambda: answer.is_over)
        assert answer.reset_code in (None, 0), f"reset with {answer.reset_code}"
        return answer

    def until(self, is_true: Callable[[], object]) -> None:
        """Takes in what comes until `is_true`."""
        while not is_true():
            self.take_in()

    def take_in_waiting(self) -> None:
        """Takes in what has come already, if anything."""
        if (
            isinstance(self.socket, ssl.SSLSocket)
            and self.socket.pending()
            or select.select([self.socket], [], [], 0)[0]
        ):
            self.take_in()

    def take_in(self) -> None:
        """Waits for the next piece, sorts it, and answers what has to be."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise Ended("the connection has ended")
        self._received += data
        while (size := 9 + int.from_bytes(self._received[:3])) <= len(self._received):
            frame = bytes(self._received[:size])
            del self._received[:size]
            for event in self.h2.receive_data(frame):
                self._sort(event)
        self.flush()

    def take_end(self) -> None:
        """Returns when the server has closed the connection."""
        with contextlib.suppress(Ended):
            self.until(lambda: False)

    def _sort(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ConnectionTerminated():
                self.goaways.append(event)
                # To h2 this is the end; to RFC 9113 §6.8 it is none of the streams that are under way.
                self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
            case h2.events.DataReceived(stream_id=int(stream_id)):
                self._take_content(event, self.answers[stream_id])
                if self.gives_credit and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
            case h2.events.ResponseReceived(stream_id=int(stream_id), headers=fields):
                self.answers[stream_id].fields = list(fields)
            case h2.events.InformationalResponseReceived(stream_id=int(stream_id), headers=fields):
                self.answers[stream_id].interim.append(list(fields))
            case h2.events.TrailersReceived(stream_id=int(stream_id), headers=fields):
                self.answers[stream_id].trailers = list(fields)
            case h2.events.StreamEnded(stream_id=int(stream_id)):
                self.answers[stream_id].has_ended = True
            case h2.events.StreamReset(stream_id=int(stream_id)):
                self.answers[stream_id].reset_code = int(event.error_code or 0)

    def _take_content(self, event: h2.events.DataReceived, answer: Answer) -> None:
        data = event.data or b""
        answer.body_bytes += len(data)
        if self.keeps_content:
            answer.body += data


class WebSocket:
    """A WebSocket on a stream of its own, by extended CONNECT (RFC 8441)."""

    def __init__(self, client: Http2Client, path: str, *fields: FieldLine) -> None:
        self.client = client
        self.id = client.begin(
            "CONNECT",
            path,
            ("sec-websocket-version", "13"),
            *fields,
            ends=False,
            pseudo=[(":protocol", "websocket")],
        )
        self.answer = client.answers[self.id]
        client.until(lambda: self.answer.status or self.answer.is_over)
        self.protocol = ClientProtocol(parse_uri(f"ws://{client.authority}{path}"), state=State.OPEN)
        self.received: list[str | bytes] = []

    def send(self, message: str | bytes) -> None:
        """Sends a message; one that the windows hold back waits for them."""
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self._flush()

    def receive(self) -> str | bytes:
        """The next message."""
        self.client.until(self.take)
        return self.received.pop(0)

    def take(self) -> bool:
        """Sorts what has come on the stream; whether there is a message now."""
        data, self.answer.body = bytes(self.answer.body), bytearray()
        if data:
            self.protocol.receive_data(data)
            for frame in self.protocol.events_received():
                assert isinstance(frame, Frame) and frame.fin, frame
                if frame.opcode is not Opcode.CLOSE:
                    self.received.append(frame.data.decode() if frame.opcode is Opcode.TEXT else bytes(frame.data))
            self._flush()
        assert self.received or not self.answer.is_over, f"the stream has ended, {self.protocol.close_code}"
        return bool(self.received)

    def close(self, code: int = 1000) -> None:
        """Closes in good order: both say so, and the stream ends on both sides."""
        self.protocol.send_close(code)
        self._flush()
        self.client.until(lambda: self.answer.is_over)
        self.protocol.receive_data(bytes(self.answer.body))
        self.protocol.receive_eof()
        assert self.protocol.close_code == code
        if self.answer.reset_code is None:
            self.client.send(self.id, b"", ends=True)

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.client.send(self.id, data)
