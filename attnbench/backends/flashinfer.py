"""FlashInfer, the flashinfer-python package: decode, prefill, paged caches, MLA; forward only.

``prepare`` plans with FlashInfer's recommended workspace of 128 MiB (``prepared_bytes``). A
contiguous cache is passed as one page per sequence, which is a view; only packed keys, and those
of a single sequence, go to the ragged wrapper. FlashInfer needs packed query rows. For several
dense sequences that takes a copy of q in each call, which is made and timed only with ``pack``.
``lse`` returns lse; decode's has base 2, and one more kernel converts it to natural logarithms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from attnbench.environment import Device
from attnbench.plugin import Capabilities, Inputs, Library
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

Kernel = Literal["auto", "fa2", "fa3", "cudnn", "trtllm-gen"]

library = Library(
    module="flashinfer",
    distribution="flashinfer-python",
    install="pip install flashinfer-python",
    checked="0.7.2.post1",
    refusals=("not supported", "does not support", "only support", "Unsupported"),
)
capabilities = Capabilities(
    dtypes={"fp16", "bf16"},
    masks={"none", "causal", "window"},
    ragged=True,
    paged=True,
    page_formats={"nhd", "hnd"},
    softcap=True,
    devices={"cuda"},
    min_arch="sm_80",
)
WORKSPACE_BYTES = 128 * 2**20
_HEAD_DIMS = (64, 128, 256)
_WIDE = (192, 128)
_LATENT = (576, 512)
_LN2 = 0.6931471805599453
# Architectures that a kernel supports, and page sizes that TensorRT-LLM's kernels support.
_ARCHS = {"fa3": ((90,), "sm_90"), "trtllm-gen": ((100, 103), "sm_100")}
_TRTLLM_PAGES = (16, 32, 64)
_MLA_KERNELS = ("auto", "fa2", "fa3")


def why_not(
    problem: Problem,
    device: Device,
    *,
    backend: Kernel = "auto",
    use_tensor_cores: bool = False,
    pack: bool = False,
    lse: bool = False,
) -> str | None:
    """Report an architecture, a width or a row layout that the chosen kernel does not support."""
    del lse
    reasons = _reasons(problem, backend, tensor_cores=use_tensor_cores, pack=pack)
    return next(_kernel_reasons(problem, device, backend), None) or next(reasons, None)


def _kernel_reasons(problem: Problem, device: Device, backend: str) -> Iterator[str]:
    arch = device.compute_capability
    needed, words = _ARCHS.get(backend, ((), ""))
    if needed and arch is not None and arch not in needed:
        yield f"backend {backend} needs {words}, this is {device.arch}"
    if backend == "trtllm-gen" and problem.page_size not in _TRTLLM_PAGES:
        listed = ", ".join(map(str, _TRTLLM_PAGES))
        yield f"backend trtllm-gen only takes pages of {listed}"


def _reasons(problem: Problem, backend: str, *, tensor_cores: bool, pack: bool) -> Iterator[str]:
    one_row = all(one.q_len == 1 for _, one in problem.request_groups)
    if problem.latent:
        yield from _latent_reasons(problem, backend)
    elif problem.v_dim != problem.head_dim and (problem.head_dim, problem.v_dim) != _WIDE:
        yield f"head_dim {problem.head_dim} with v_head_dim {problem.v_dim} is not 192 with 128"
    elif problem.v_dim == problem.head_dim and problem.head_dim not in _HEAD_DIMS:
        yield f"head_dim {problem.head_dim} is not one of {', '.join(map(str, _HEAD_DIMS))}"
    elif problem.v_dim != problem.head_dim and one_row:
        yield "decode has no v_head_dim of its own"
    if tensor_cores and not (one_row and not problem.latent and _decodes(problem)):
        yield "use_tensor_cores is for decode, one row per sequence"
    is_unpacked = not problem.is_ragged and not one_row and (problem.batch or 1) > 1
    if is_unpacked and problem.q_heads > 1 and not pack:
        yield "rows of several dense sequences are not packed: write requests, or set pack"
    if pack and not is_unpacked:
        yield "pack is for several dense sequences of more than one row"


def _latent_reasons(problem: Problem, backend: str) -> Iterator[str]:
    if (problem.head_dim, problem.v_dim) != _LATENT:
        yield f"a latent cache is 576 wide with V of 512, not {problem.head_dim}/{problem.v_dim}"
    if backend not in _MLA_KERNELS:
        yield f"backend {backend} of a latent cache is not one of {', '.join(_MLA_KERNELS)}"
    if problem.is_ragged and problem.kv_layout != "paged":
        yield "packed requests against a packed latent cache are not supported"
    if problem.window is not None or problem.softcap is not None:
        yield "a latent cache has neither window nor softcap here"


def _decodes(problem: Problem) -> bool:
    """Whether the decode wrapper applies: one row per sequence, over pages or a dense cache."""
    one_row = all(one.q_len == 1 for _, one in problem.request_groups)
    return one_row and (problem.kv_layout == "paged" or not problem.is_ragged)


def workspace_bytes(
    problem: Problem,
    *,
    backend: Kernel = "auto",
    use_tensor_cores: bool = False,
    pack: bool = False,
    lse: bool = False,
) -> int:
    """Bytes of the planned workspace and of the packed copy of q, if ``pack`` makes one."""
    del backend, use_tensor_cores, lse
    rows = sum(count * one.q_len for count, one in problem.request_groups)
    packed = 2 * rows * problem.q_heads * problem.head_dim if pack else 0
    return WORKSPACE_BYTES + packed


def prepare(
    inputs: Inputs,
    *,
    backend: Kernel = "auto",
    use_tensor_cores: bool = False,
    pack: bool = False,
    lse: bool = False,
) -> Callable[[], Any]:
    """Plan for these lengths and this page table, and return the call.

    Args:
        inputs: fp16 or bf16 tensors, dense, packed or paged.
        backend: FlashInfer's own option of this name.
        use_tensor_cores: FlashInfer's own option of this name; decode only.
        pack: copy q into packed rows in each call.
        lse: return lse too.

    Returns:
        A call that gives o in q's layout, and lse (fp32, natural log) or None.

    Raises:
        Unsupported: the library is missing or refuses the problem.

    """
    library.load()
    import torch

    problem = inputs.problem
    workspace = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=inputs.q.device)

    def plan() -> Callable[[], Any]:
        if problem.latent:
            return _latent(inputs, workspace, backend, pack=pack, lse=lse)
        if _decodes(problem):
            return _decode(inputs, workspace, backend, use_tensor_cores=use_tensor_cores, lse=lse)
        if problem.kv_layout == "paged" or (problem.batch or 1) > 1:
            return _paged(inputs, workspace, backend, pack=pack, lse=lse)
        return _ragged(inputs, workspace, backend, lse=lse)

    call: Callable[[], Any] = library.translate_errors(plan)()
    return library.translate_errors(call)


def _window_left(problem: Problem) -> int:
    """Visible keys before the row's own; -1 for all."""
    return -1 if problem.window is None else problem.window - 1


def _decode(
    inputs: Inputs, workspace: Tensor, backend: str, *, use_tensor_cores: bool, lse: bool
) -> Callable[[], Any]:
    """Batch decode: one query row per sequence."""
    from flashinfer import BatchDecodeWithPagedKVCacheWrapper

    problem, q = inputs.problem, inputs.q
    pages = _Pages.of(inputs)
    wrapper = BatchDecodeWithPagedKVCacheWrapper(
        workspace, pages.layout, use_tensor_cores=use_tensor_cores, backend=backend
    )
    wrapper.plan(
        pages.starts,
        pages.indices,
        pages.last_lengths,
        problem.q_heads,
        problem.n_kv_heads,
        problem.head_dim,
        pages.size,
        window_left=_window_left(problem),
        logits_soft_cap=problem.softcap,
        q_data_type=q.dtype,
        kv_data_type=pages.k.dtype,
        sm_scale=inputs.scale,
    )
    rows = q if problem.is_ragged else q[:, :, 0]

    def attend() -> Any:
        found = wrapper.run(rows, (pages.k, pages.v), return_lse=lse)
        o, log2 = found if lse else (found, None)
        natural = None if log2 is None else log2 * _LN2
        if problem.is_ragged:
            return o, natural
        return o.unsqueeze(2), None if natural is None else natural.unsqueeze(2)

    return attend


def _paged(
    inputs: Inputs, workspace: Tensor, backend: str, *, pack: bool, lse: bool
) -> Callable[[], Any]:
    """Several rows per sequence over pages, or over dense sequences as one page each."""
    from flashinfer import BatchPrefillWithPagedKVCacheWrapper

    problem = inputs.problem
    pages = _Pages.of(inputs)
    wrapper = BatchPrefillWithPagedKVCacheWrapper(workspace, pages.layout, backend=backend)
    wrapper.plan(
        _starts_of([one.q_len for one in problem.request_list], inputs.q),
        pages.starts,
        pages.indices,
        pages.last_lengths,
        problem.q_heads,
        problem.n_kv_heads,
        problem.head_dim,
        pages.size,
        head_dim_vo=problem.v_dim,
        causal=problem.mask != "none",
        sm_scale=inputs.scale,
        window_left=_window_left(problem),
        logits_soft_cap=problem.softcap,
        q_data_type=inputs.q.dtype,
        kv_data_type=pages.k.dtype,
    )
    kept = None if pack else _rows(inputs)

    def attend() -> Any:
        rows = _rows(inputs) if kept is None else kept
        found = wrapper.run(rows, (pages.k, pages.v), return_lse=lse, lse_base="ln")
        return _outputs(inputs, found, lse=lse)

    return attend


def _ragged(inputs: Inputs, workspace: Tensor, backend: str, *, lse: bool) -> Callable[[], Any]:
    """Packed rows and packed keys; a single dense sequence already is packed."""
    from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

    problem = inputs.problem
    assert inputs.k is not None
    assert inputs.v is not None
    k, v = inputs.k, inputs.v
    if not problem.is_ragged:
        k, v = k[0].transpose(0, 1), v[0].transpose(0, 1)
    requests = problem.request_list
    wrapper = BatchPrefillWithRaggedKVCacheWrapper(workspace, "NHD", backend=backend)
    wrapper.plan(
        _starts_of([one.q_len for one in requests], inputs.q),
        _starts_of([one.kv_len for one in requests], inputs.q),
        problem.q_heads,
        problem.n_kv_heads,
        problem.head_dim,
        head_dim_vo=problem.v_dim,
        causal=problem.mask != "none",
        window_left=_window_left(problem),
        logits_soft_cap=problem.softcap,
        sm_scale=inputs.scale,
        q_data_type=inputs.q.dtype,
        kv_data_type=k.dtype,
    )
    rows = _rows(inputs)

    def attend() -> Any:
        found = wrapper.run(rows, k, v, return_lse=lse, lse_base="ln")
        return _outputs(inputs, found, lse=lse)

    return attend


def _latent(
    inputs: Inputs, workspace: Tensor, backend: str, *, pack: bool, lse: bool
) -> Callable[[], Any]:
    """Absorbed MLA (DeepSeek-V2, 2405.04434): 512 columns serve as K and V, 64 carry RoPE."""
    from flashinfer.mla import BatchMLAPagedAttentionWrapper, MLAPlanMetadata

    problem = inputs.problem
    pages = _Pages.of(inputs)
    width, requests = problem.v_dim, problem.request_list
    wrapper = BatchMLAPagedAttentionWrapper(workspace, backend=backend)
    wrapper.plan(
        metadata=MLAPlanMetadata.csr(
            qo_indptr=_starts_of([one.q_len for one in requests], inputs.q),
            kv_indptr=pages.starts,
            kv_indices=pages.indices,
            kv_len_arr=pages.lengths,
        ),
        num_heads=problem.q_heads,
        head_dim_ckv=width,
        head_dim_kpe=problem.head_dim - width,
        page_size=pages.size,
        causal=problem.mask != "none",
        sm_scale=inputs.scale,
        q_data_type=inputs.q.dtype,
        kv_data_type=pages.k.dtype,
        query_layout="split",
        kv_cache_layout="split",
        lse_mode="basee" if lse else "none",
    )
    head = 1 if pages.layout == "HND" else 2
    cache = pages.k.squeeze(head)
    kept = None if pack else _rows(inputs)

    def attend() -> Any:
        rows = _rows(inputs) if kept is None else kept
        found = wrapper.run(
            query=(rows[..., :width], rows[..., width:]),
            kv_cache=(cache[..., :width], cache[..., width:]),
            return_lse=lse,
            return_lse_base_on_e=lse,
        )
        return _outputs(inputs, found, lse=lse)

    return attend


def _rows(inputs: Inputs) -> Tensor:
    """Q as ``[rows, q_heads, head_dim]``: a view, or a copy for several dense sequences."""
    q = inputs.q
    if inputs.problem.is_ragged:
        return q
    return q[0].transpose(0, 1) if q.shape[0] == 1 else q.transpose(1, 2).flatten(0, 1)


def _outputs(inputs: Inputs, found: Any, *, lse: bool) -> Any:
    """Return o and lse (None unless requested) in q's layout."""
    o, natural = found if lse else (found, None)
    if inputs.problem.is_ragged:
        return o, natural
    batch = inputs.q.shape[0]
    o = o.unflatten(0, (batch, -1)).transpose(1, 2)
    return o, None if natural is None else natural.unflatten(0, (batch, -1)).transpose(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pages:
    """A paged cache in FlashInfer's form: page indices of one sequence after another.

    ``layout`` is NHD or HND, ``size`` is slots per page. ``starts`` (int32 ``[sequences + 1]``)
    points to each sequence's first page in ``indices``; ``last_lengths`` counts the used slots of
    its last page, ``lengths`` its keys.
    """

    k: Tensor
    v: Tensor
    layout: str
    size: int
    starts: Tensor
    indices: Tensor
    last_lengths: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, inputs: Inputs) -> _Pages:
        """Read the page table; a dense cache ``[batch, kv_heads, kv_len, dim]`` is a page each."""
        import torch

        problem = inputs.problem
        lengths = [one.kv_len for one in problem.request_list]
        size = problem.page_size or inputs.max_kv_len
        counts = [-(-length // size) for length in lengths]
        if inputs.page_table is None:
            k, v, layout = inputs.k, inputs.v, "HND"
            indices = torch.arange(len(lengths), dtype=torch.int32, device=inputs.q.device)
        else:
            k, v, layout = inputs.k_pages, inputs.v_pages, str(problem.page_format).upper()
            table = inputs.page_table
            indices = torch.cat([table[row, :count] for row, count in enumerate(counts)])
        assert k is not None
        assert v is not None
        return cls(
            k=k,
            v=v,
            layout=layout,
            size=size,
            starts=_starts_of(counts, inputs.q),
            indices=indices,
            last_lengths=_int32([(length - 1) % size + 1 for length in lengths], inputs.q),
            lengths=_int32(lengths, inputs.q),
        )


def _starts_of(lengths: list[int], like: Tensor) -> Tensor:
    """Start of each sequence, then the end: int32 ``[sequences + 1]`` on ``like``'s device."""
    total, starts = 0, [0]
    for length in lengths:
        total += length
        starts.append(total)
    return _int32(starts, like)


def _int32(values: list[int], like: Tensor) -> Tensor:
    import torch

    return torch.tensor(values, dtype=torch.int32, device=like.device)
