"""cudnn-frontend's graph: the signatures of _pygraph.py and of the compiled module's docstrings.

``execute`` reads every tensor through the dims, strides and ragged offsets of its symbol, as cuDNN
does, and through nothing else: a graph that describes its tensors wrongly computes something else.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import torch

LIBRARY = "cudnn"
KINDS = {
    "HALF": torch.float16,
    "BFLOAT16": torch.bfloat16,
    "FLOAT": torch.float32,
    "INT32": torch.int32,
    "INT64": torch.int64,
}


class GraphNotSupported(RuntimeError):
    """Its name in cudnn is cudnnGraphNotSupportedError."""


GraphNotSupported.__name__ = "cudnnGraphNotSupportedError"


def module(standins):
    def strict(name, function):
        return standins.strict(LIBRARY, f"cudnn.{name}", function)

    return standins.module(
        "cudnn",
        data_type=SimpleNamespace(**{name: name for name in KINDS}),
        diagonal_alignment=SimpleNamespace(TOP_LEFT="top_left", BOTTOM_RIGHT="bottom_right"),
        heur_mode=SimpleNamespace(A="A", FALLBACK="FALLBACK"),
        create_handle=strict("create_handle", lambda _: SimpleNamespace(stream=None)),
        set_stream=strict(
            "set_stream", lambda given: setattr(given.handle, "stream", given.stream)
        ),
        pygraph=strict("pygraph", lambda given: Graph(standins, given)),
    )


class Symbol:
    """A tensor of a graph; its setters return it, as cudnn's do."""

    def __init__(self, standins):
        self.dim = self.stride = self.kind = self.ragged = None
        self.is_output = False
        for name, field in (
            ("set_dim", "dim"),
            ("set_stride", "stride"),
            ("set_data_type", "kind"),
            ("set_ragged_offset", "ragged"),
            ("set_output", "is_output"),
        ):
            whole = f"cudnn.tensor.{name}"
            setattr(self, name, standins.strict(LIBRARY, whole, partial(self._set, field)))

    def _set(self, field, given):
        (value,) = vars(given).values()
        setattr(self, field, value)
        return self


class Graph:
    def __init__(self, standins, given):
        assert given.io_data_type in ("HALF", "BFLOAT16", "FLOAT")
        assert given.compute_data_type == given.intermediate_data_type == "FLOAT"
        self.standins, self.is_built, self.work = standins, False, None
        for name in ("tensor", "build", "get_workspace_size", "execute", "sdpa", "sdpa_backward"):
            whole = f"cudnn.pygraph.{name}"
            setattr(self, name, standins.strict(LIBRARY, whole, getattr(self, f"_{name}")))

    def _tensor(self, given):
        symbol = Symbol(self.standins)
        symbol.dim, symbol.stride, symbol.kind = given.dim, given.stride, given.data_type
        symbol.ragged = given.ragged_offset
        return symbol

    def _sdpa(self, given):
        """One of generate_stats and is_inference must be set; no stats where they are not."""
        assert given.generate_stats is not None
        demand(given)
        o, stats = Symbol(self.standins), Symbol(self.standins)
        outputs = [o, stats] if given.generate_stats else [o, None]
        self.work = partial(self._forward, given, o, stats if given.generate_stats else None)
        return outputs

    def _sdpa_backward(self, given):
        demand(given)
        outputs = [Symbol(self.standins) for _ in range(3)]
        self.work = partial(self._gradients, given, outputs)
        return outputs

    def _build(self, given):
        assert given.heuristics == ["A", "FALLBACK"]
        self.is_built = True

    def _get_workspace_size(self, given):
        del given
        return 0

    def _execute(self, given):
        assert self.is_built
        assert given.handle.stream == 7, "not on the current stream"
        for symbol, tensor in given.tensor_dict.items():
            assert KINDS[symbol.kind] == tensor.dtype
        self.work(given.tensor_dict)

    def _forward(self, given, o, stats, found):
        q, k, v = (sequences(one, found) for one in (given.q, given.k, given.v))
        if given.paged_attention_k_table is not None:
            k, v = (
                paged(self.standins, one, table, given, found)
                for one, table in (
                    (given.k, given.paged_attention_k_table),
                    (given.v, given.paged_attention_v_table),
                )
            )
        if given.use_padding_mask:
            rows, keys = (
                view(one, found).flatten().tolist() for one in (given.seq_len_q, given.seq_len_kv)
            )
            q = [one[:length] for one, length in zip(q, rows, strict=True)]
            k, v = (
                [one[:length] for one, length in zip(side, keys, strict=True)] for side in (k, v)
            )
        outputs = sequences(o, found)
        lses = None if stats is None else view(stats, found)
        for row, one in enumerate(q):
            value, lse = self._attend(given, found, one, k[row], v[row])
            outputs[row][: len(one)] = value
            if lses is not None:
                lses[row, :, : len(one), 0] = lse

    def _attend(self, given, found, q, k, v):
        """Bounds by the docstring: right is an offset from the diagonal, left counts it in."""
        left, right = given.diagonal_band_left_bound, given.diagonal_band_right_bound
        is_bottom = given.diagonal_alignment == "bottom_right"
        if right is not None and is_bottom and len(q) > len(k):
            raise GraphNotSupported("Bottom right causal mask does not support max_s_q > max_s_kv")
        sink = None if given.sink_token is None else view(given.sink_token, found).flatten()
        return self.standins.attend(
            q,
            k,
            v,
            given.attn_scale,
            left=-1 if left is None else left - 1,
            right=-1 if right is None else right,
            sink=sink,
            offset=None if is_bottom else 0,
        )

    def _gradients(self, given, outputs, found):
        leaves = [view(one, found).clone().requires_grad_() for one in (given.q, given.k, given.v)]
        with torch.enable_grad():
            parts = [
                self._attend(given, found, *(one.transpose(0, 1) for one in tensors))[0]
                for tensors in zip(*leaves, strict=True)
            ]
            o = torch.stack(parts).transpose(1, 2)
        assert torch.allclose(view(given.o, found), o.detach(), atol=1e-4)
        grads = torch.autograd.grad(o, leaves, view(given.dO, found))
        for symbol, grad in zip(outputs, grads, strict=True):
            view(symbol, found).copy_(grad)


def demand(given):
    """_sdpa_validate.py: four dims, a dense last axis, one way to tell lengths."""
    for one in (given.q, given.k, given.v):
        if one.stride[-1] != 1:
            raise GraphNotSupported("The stride for the last dimension should be 1")
        assert len(one.dim) == len(one.stride) == 4


def view(symbol, found):
    """The memory of what is bound, through the symbol's own dims and strides."""
    return torch.as_strided(found[symbol], symbol.dim, symbol.stride)


def sequences(symbol, found):
    """Each sequence as ``[tokens, heads, dim]``: at its ragged offset, or one after another."""
    tensor = found[symbol]
    batch, heads, tokens, width = symbol.dim
    if symbol.ragged is None:
        return list(view(symbol, found).transpose(1, 2))
    offsets = found[symbol.ragged].flatten().tolist()
    _, head, token, last = symbol.stride
    flat = tensor.flatten()
    made = []
    for start in offsets[:batch]:
        # What lies past the end of memory belongs to no sequence.
        fits = min(tokens, (len(flat) - start) // token)
        made.append(torch.as_strided(flat, (fits, heads, width), (token, head, last), start))
    return made


def paged(standins, symbol, table, given, found):
    """Pages ``[pages, heads, size, dim]`` by their strides, the table ``[batch, 1, pages, 1]``."""
    pages = view(symbol, found).transpose(1, 2)
    numbers = view(table, found)[:, 0, :, 0]
    lengths = view(given.seq_len_kv, found).flatten()
    assert int(lengths.max()) <= given.paged_attention_max_seq_len_kv
    return standins.gathered(pages, numbers, lengths)
