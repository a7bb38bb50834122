"""The messages between a session and its worker: one JSON object a line, one class a message.

Both sides use these classes, and the class name is the message's tag on the wire, so that each
operation is spelled once. A ``Request`` names the reply it gets; while a case runs, the worker
also sends ``StageEntered`` and, once a second, ``Heartbeat``. Needs the standard library and lower
packages only, because a worker may run in another Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_type_hints

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Environment
from attnbench.method import Measure, Method
from attnbench.plugin import Capabilities

# What a worker is asked to do with a case.
MEASURE, CALIBRATE, CHECK = "measure", "calibrate", "check"

TORCH_MISSING, DEVICE_MISSING, INTERNAL_ERROR = "TorchMissing", "DeviceMissing", "InternalError"


class Message:
    """One line in either direction."""

    types: ClassVar[dict[str, type[Message]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Message.types[cls.__name__] = cls


ReplyT = TypeVar("ReplyT", bound=Message)


class Request(Message, Generic[ReplyT]):
    """A message from the parent.

    ``words`` is what error messages call the operation; its reply must come within ``limit_s``.
    """

    words: ClassVar[str]
    limit_s: ClassVar[float] = 120.0


@dataclass(frozen=True, kw_only=True)
class DeviceOpened(Message):
    """The device is open."""

    environment: Environment


@dataclass(frozen=True, kw_only=True)
class BackendProbed(Message):
    """What a backend can do, or in ``error`` and ``hint`` why it cannot be imported."""

    capabilities: Capabilities | None = None
    is_triton: bool = False
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImportedFiles(Message):
    """Files that the worker has imported."""

    files: list[str]


@dataclass(frozen=True, kw_only=True)
class CeilingsMeasured(Message):
    """The device's best rates."""

    ceilings: Ceilings


@dataclass(frozen=True, kw_only=True)
class SelfTestDone(Message):
    """What each test found, and the ceilings that the tests were compared with."""

    tests: list[dict[str, Any]]
    ceilings: Ceilings


@dataclass(frozen=True, kw_only=True)
class CanariesTimed(Message):
    """Canary times in µs by name; ``warmup_s`` and ``flat`` only where the device was warmed."""

    at: float
    us: dict[str, float]
    warmup_s: float | None = None
    flat: bool | None = None


@dataclass(frozen=True, kw_only=True)
class CaseDone(Message):
    """What became of a case; ``alive`` is false where the device's context is broken."""

    done: dict[str, Any]
    alive: bool


@dataclass(frozen=True, kw_only=True)
class Failed(Message):
    """The operation failed; ``error`` is the name of an error."""

    error: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class StageEntered(Message):
    """A part of the running case begins; its time limits depend on it."""

    stage: str


@dataclass(frozen=True, kw_only=True)
class Heartbeat(Message):
    """The worker lives and is in this stage."""

    stage: str


@dataclass(frozen=True, kw_only=True)
class OpenDevice(Request[DeviceOpened]):
    """Open the device and describe it; always the first request."""

    words = "device"
    limit_s = 180.0  # importing torch from a cold network disk
    device: str


@dataclass(frozen=True, kw_only=True)
class ProbeBackend(Request[BackendProbed]):
    """Import a backend, and an adapter's library, and say what it can do."""

    words = "backend"
    limit_s = 180.0
    name: str
    source: str


@dataclass(frozen=True, kw_only=True)
class ListImported(Request[ImportedFiles]):
    """List the files below some folders that the worker has imported."""

    words = "list of imports"
    limit_s = 180.0
    folders: list[str]


@dataclass(frozen=True, kw_only=True)
class MeasureCeilings(Request[CeilingsMeasured]):
    """Measure the device's best rates, each the best of so many calls."""

    words = "ceilings"
    repeats: int


@dataclass(frozen=True, kw_only=True)
class SustainCeilings(Request[CeilingsMeasured]):
    """Measure the rates that the device holds for a second, in addition to these bursts."""

    words = "sustained rates"
    ceilings: Ceilings


@dataclass(frozen=True, kw_only=True)
class RunSelfTest(Request[SelfTestDone]):
    """Time what is known; without ceilings they are measured first."""

    words = "self-test"
    ceilings: Ceilings | None
    brief: bool = False


@dataclass(frozen=True, kw_only=True)
class TimeCanaries(Request[CanariesTimed]):
    """Time calls that never change; ``warm`` drives the device first."""

    words = "canaries"
    warm: bool


@dataclass(frozen=True, kw_only=True)
class RunCase(Request[CaseDone]):
    """Measure a case, only check it, or only call it; ``purpose`` is one of the words above."""

    words = "case"
    case: Case
    method: Method
    measure: Measure
    ceilings: Ceilings
    purpose: str = MEASURE


@dataclass(frozen=True, kw_only=True)
class ConformCase(Request[CaseDone]):
    """Run one trial of the conformance kit."""

    words = "trial"
    case: Case
    way: str


@dataclass(frozen=True, kw_only=True)
class Exit(Request[Message]):
    """End the worker; there is no reply."""

    words = "exit"


_FROM_DICT: Mapping[Any, Callable[[dict[str, Any]], Any]] = {
    Capabilities: lambda plain: Capabilities(**plain),
    Case: Case.from_dict,
    Ceilings: lambda plain: Ceilings(**plain),
    Environment: Environment.from_dict,
    Measure: Measure.from_dict,
    Method: lambda plain: Method(**plain),
}


def encode(message: Message) -> bytes:
    """Return a message as a line of JSON."""
    values: dict[str, Any] = {"type": type(message).__name__}
    for one in fields(message):  # type: ignore[arg-type]  # every concrete message is a dataclass
        value = getattr(message, one.name)
        values[one.name] = value.to_dict() if hasattr(value, "to_dict") else value
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message that ``encode`` wrote.

    Raises:
        ValueError, KeyError, TypeError: the line holds no message.
        ProblemError: a problem in it breaks a rule.

    """
    values = json.loads(line)
    if not isinstance(values, dict):
        raise TypeError(f"not a message: {line[:200]!r}")
    kind = values.pop("type")
    for name, from_dict in _readers(kind).items():
        if values.get(name) is not None:
            values[name] = from_dict(values[name])
    return Message.types[kind](**values)


@cache
def _readers(kind: str) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Return how the fields that are objects are rebuilt, by name."""
    return {
        name: _FROM_DICT[one]
        for name, hint in get_type_hints(Message.types[kind]).items()
        for one in (hint, *get_args(hint))
        if one in _FROM_DICT
    }
