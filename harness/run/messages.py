"""Messages over a pipe between two processes, and the order of words at the start.

A worker says *ready* when it has a seat; the supervisor says *go* when every worker is ready.
Nothing is ever timed.  Guarantees: a reader never blocks on a half message (a writer may
be stopped in the middle of one), and a writer that may not block need not.  Messages are
tuples of plain values whose first item is the word.
"""

import os
import pickle
import select
import struct
import threading
from typing import Any

Message = tuple[Any, ...]
_HEAD = struct.Struct("<I")
_CHUNK = 1 << 16

# worker -> supervisor
READY, PARKED, OUTCOME, PAYLOAD, AUDITED = "ready", "parked", "outcome", "payload", "audited"
# supervisor -> worker
GO, RESUME, FINISH, AUDIT = "go", "resume", "finish", "audit"
# watchdog -> supervisor -> front
FINDING, NOTICE = "finding", "notice"
# supervisor -> watchdog, and its answer: from then on it judges nothing and writes nothing
QUIET = "quiet"
# front -> supervisor and supervisor -> watchdog
STOP = "stop"
# supervisor -> front
STARTED, INCIDENT, RESULT, ERROR = "started", "incident", "result", "error"


class PeerGone(Exception):
    """The other end of the pipe was closed: its process is over or has left us."""


class Wire:
    """One end of a duplex pipe (a ``multiprocess`` connection), in whole messages."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.fd: int = connection.fileno()
        os.set_blocking(self.fd, False)
        self.ended = False  # the peer will say nothing any more
        self.sending = 0  # above zero: a message is half out, see worker.Stopper
        self._in = bytearray()
        self._out = bytearray()
        self._lock = threading.Lock()  # threads of one worker may send payloads side by side

    # --- out

    def send(self, message: Message) -> None:
        """Send and wait until it is out.  PeerGone when the other end is closed."""
        frame = pack(message)
        self.sending += 1
        try:
            with self._lock:
                self._out += frame
                while not self._flush():
                    _poll(self.fd, select.POLLOUT, None)
        finally:
            self.sending -= 1

    def post(self, message: Message) -> None:
        """Send what fits and keep the rest for ``flush``: never blocks, never fails."""
        self._out += pack(message)
        self.flush()

    def flush(self) -> None:
        """Send more of what was posted; a peer that is gone takes everything."""
        try:
            self._flush()
        except PeerGone:
            self._out.clear()

    @property
    def pending(self) -> bool:
        """Something posted is not out yet."""
        return bool(self._out)

    def _flush(self) -> bool:
        while self._out:
            try:
                written = os.write(self.fd, self._out[:_CHUNK])
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                self._out.clear()
                raise PeerGone from None
            del self._out[:written]
        return True

    # --- in

    def receive(self) -> list[Message]:
        """The messages that are here now; sets ``ended`` at the end.  Never blocks."""
        while not self.ended:
            try:
                data = os.read(self.fd, _CHUNK)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            self._in += data
            self.ended = not data
        return self._unpack(None)

    def wait(self, timeout: float | None = None) -> Message:
        """The next message.  PeerGone at the end, TimeoutError after ``timeout`` seconds."""
        while not (message := self._unpack(1)):
            if self.ended:
                raise PeerGone
            if not _poll(self.fd, select.POLLIN, timeout):
                raise TimeoutError
            try:
                data = os.read(self.fd, _CHUNK)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                data = b""
            self._in += data
            self.ended = not data
        return message[0]

    def _unpack(self, most: int | None) -> list[Message]:
        found: list[Message] = []
        while len(found) != most and len(self._in) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._in)[0]
            if len(self._in) < end:
                break
            found.append(pickle.loads(self._in[_HEAD.size : end]))
            del self._in[:end]
        return found

    def close(self) -> None:
        """Close this end."""
        self.connection.close()


def pack(message: Message) -> bytes:
    """Length and body."""
    body = pickle.dumps(message)
    return _HEAD.pack(len(body)) + body


def _poll(fd: int, what: int, timeout: float | None) -> bool:
    poller = select.poll()
    poller.register(fd, what)
    return bool(poller.poll(None if timeout is None else max(0.0, timeout) * 1000))
