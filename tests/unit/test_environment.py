from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attnbench.environment import Device, Environment, arch_number

DEVICE = Device(
    kind="cuda",
    name="NVIDIA H200",
    arch="sm_90",
    memory_bytes=150_754_820_096,
    free_bytes=149_000_000_000,
    uuid="GPU-1",
    llc_bytes=62_914_560,
    power_limit_w=700.0,
    driver="570.1",
)
ENVIRONMENT = Environment(
    device=DEVICE,
    host="node1",
    python="3.11.9",
    threads=16,
    torch_version="2.13.0",
    triton_version="3.7.1",
    cuda="12.8",
    git_commit="abc",
    git_dirty=False,
)


# Verdicts are given only between equal device ids: a change here makes old runs foreign.
def test_ids_never_change():
    assert (DEVICE.id, ENVIRONMENT.id) == ("fd2a62ec174c", "5e41c40c17df")


@pytest.mark.parametrize(
    "given",
    [
        {"name": "NVIDIA H100"},
        {"memory_bytes": 1},
        {"arch": "sm_100"},
        {"mig": "1g.18gb"},
        {"power_limit_w": 500.0},
    ],
)
def test_what_makes_a_device_another_is_in_its_id(given):
    assert replace(DEVICE, **given).id != DEVICE.id


@pytest.mark.parametrize(
    "given", [{"index": 3}, {"uuid": "GPU-2"}, {"free_bytes": 1}, {"driver": "580"}]
)
def test_another_chip_of_the_same_kind_is_the_same_device(given):
    assert replace(DEVICE, **given).id == DEVICE.id


@pytest.mark.parametrize(
    "given",
    [
        {"device": replace(DEVICE, driver="580")},
        {"device": replace(DEVICE, power_limit_w=500.0)},
        {"python": "3.12.1"},
        {"threads": 8},
        {"torch_version": "2.14.0"},
        {"triton_version": None},
        {"cuda": "13.0"},
    ],
)
def test_the_software_that_computes_is_in_the_environments_id(given):
    assert replace(ENVIRONMENT, **given).id != ENVIRONMENT.id


@pytest.mark.parametrize(
    "given", [{"host": "node2"}, {"git_commit": None}, {"device": replace(DEVICE, uuid="GPU-2")}]
)
def test_whose_machine_it_is_and_what_is_measured_are_in_no_id(given):
    assert replace(ENVIRONMENT, **given).id == ENVIRONMENT.id


def test_facts_survive_json():
    facts = json.loads(json.dumps(ENVIRONMENT.to_dict()))

    assert Environment.from_dict(facts) == ENVIRONMENT
    assert Environment.from_dict(facts).id == ENVIRONMENT.id


def test_facts_that_a_newer_version_added_are_left_out():
    facts = ENVIRONMENT.to_dict() | {"cluster": "blue"}
    facts["device"] = facts["device"] | {"colour": "green"}

    assert Environment.from_dict(facts) == ENVIRONMENT


@pytest.mark.parametrize(
    ("arch", "number"),
    [
        ("sm_80", 80),
        ("sm_90a", 90),
        ("sm_100f", 100),
        ("sm_120", 120),
        ("sm_", None),
        ("gfx942", None),
        ("x86_64", None),
        ("90", None),
    ],
)
def test_only_nvidias_architectures_have_a_number(arch, number):
    assert arch_number(arch) == number
    assert replace(DEVICE, arch=arch).compute_capability == number
