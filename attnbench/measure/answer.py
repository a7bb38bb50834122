"""From a worker's ``case`` message to its answer."""

from __future__ import annotations

from typing import Any

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.measure.bench import DeviceContext
from attnbench.measure.conform import conform
from attnbench.measure.measure import CaseSettings, measure, rehearse
from attnbench.method import Measure, Method

Message = dict[str, Any]


def answer_case(message: Message, bench: DeviceContext) -> Message:
    """Measure a case, or only call it (``pilot``), or only check it (``check_only``, ``way``).

    ``alive`` says whether the device survived: the parent starts a new worker where it did not.
    """
    if message.get("ceilings") and bench.ceilings is None:
        bench.ceilings = Ceilings(**message["ceilings"])
    case = Case.from_dict(message["case"])
    if "way" in message:
        return {"done": conform(case, message["way"], bench), "alive": bench.driver.is_alive()}
    orders = CaseSettings(
        method=Method(**message["method"]),
        settings=Measure.from_dict(message["measure"]),
        pilot=message.get("pilot", False),
    )
    if message.get("pilot") or message.get("check_only"):
        done = rehearse(case, orders, bench)
    else:
        done = measure(case, orders, bench).to_dict()
    return {"done": done, "alive": bench.driver.is_alive()}
