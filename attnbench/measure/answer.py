"""From a worker's ``case`` message to its answer."""

from __future__ import annotations

from typing import Any

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.measure.conformance_check import check_trial
from attnbench.measure.context import CaseSettings, DeviceContext
from attnbench.measure.measure import measure, rehearse
from attnbench.method import Measure, Method

Message = dict[str, Any]


def answer_case(message: Message, context: DeviceContext) -> Message:
    """Measure a case, or only call it (``pilot``), or only check it (``check_only``, ``way``).

    ``alive`` says whether the device survived: the parent starts a new worker where it did not.
    """
    if message.get("ceilings") and context.ceilings is None:
        context.ceilings = Ceilings(**message["ceilings"])
    case = Case.from_dict(message["case"])
    if "way" in message:
        return {
            "done": check_trial(case, message["way"], context),
            "alive": context.driver.is_alive(),
        }
    settings = CaseSettings(
        method=Method(**message["method"]),
        measure=Measure.from_dict(message["measure"]),
        calibration=message.get("pilot", False),
    )
    if message.get("pilot") or message.get("check_only"):
        done = rehearse(case, settings, context)
    else:
        done = measure(case, settings, context).to_dict()
    return {"done": done, "alive": context.driver.is_alive()}
