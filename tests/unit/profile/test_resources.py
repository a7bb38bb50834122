from __future__ import annotations

import pytest

from attnbench.profile import resources
from attnbench.profile.resources import count_loads, resident_programs

SASS = """\
        /*0000*/                   LDC R1, c[0x0][0x28] ;    /* 0x00000a00ff017b82 */
                                                              /* 0x000fe20000000800 */
        /*0010*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/             @!UP0 UTMALDG.2D [UR8], [UR4] ;
        /*0030*/                   LDGSTS.E.BYPASS.128 [R9], desc[UR4][R2.64] ;
        /*0040*/                   LDG.E R4, desc[UR4][R2.64] ;
        /*0050*/                   HGMMA.64x64x16.F32.BF16 R24, gdesc[UR4], R24 ;
        /*0060*/               @P1 STL [R1+0x4], R5 ;
        /*0070*/                   EXIT ;
"""


def test_instructions_are_read_with_and_without_a_predicate():
    names = resources._INSTRUCTION.findall(SASS)

    assert [name.split(".")[0] for name in names] == [
        *("LDC", "LDG", "UTMALDG", "LDGSTS", "LDG", "HGMMA", "STL", "EXIT")
    ]
    assert count_loads(names) == (3, 1)
    assert resources._count(names, resources._TENSOR_CORES) == 1
    assert resources._count(names, resources._SPILLS) == 1


@pytest.mark.parametrize(
    ("arch", "registers", "warps", "shared", "expected"),
    [
        (90, 128, 8, 98_336, 2),  # registers: 65536 / (128 · 32 · 8)
        (90, 80, 4, 71_680, 3),  # shared memory: 233472 / (71680 + 1024)
        (90, 32, 1, 0, 32),  # the most programs an SM has slots for
        (90, 129, 8, 0, 1),  # 129 registers are handed out as 136
        (86, 32, 4, 0, 12),  # warps: 48 of them
        (80, 96, 4, 71_680, 2),
        (120, 255, 8, 101_376, 1),
    ],
)
def test_the_scarcest_resource_says_how_many_programs_fit(arch, registers, warps, shared, expected):
    found = resident_programs(arch, registers=registers, warps=warps, shared=shared)

    assert found == expected
