"""Our own Triton kernels, one algorithm per file; nothing is measured here.

``launch`` defines how a kernel is called, ``tile_table`` which tile sizes it gets, ``flash_plan``
and ``decode_plan`` which kernels a problem launches. docs/kernels.md explains the design.
"""
