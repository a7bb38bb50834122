"""Our own Triton kernels, one algorithm a file; nothing is measured here.

``launch`` is how a kernel is called, ``configurations`` which tile sizes it gets, ``splits`` over
how many programs a sequence is cut. docs/kernels.md says why they are as they are.
"""
