"""A cuDNN graph while it is drawn, and once it is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.plugin import Inputs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Built:
    """A graph with its plan, and what to bind to it at each call beside the outputs."""

    graph: Any
    handle: Any
    bound: dict[Any, Tensor]
    room: Tensor

    def run(self, more: dict[Any, Tensor]) -> None:
        """Queue the plan on the current stream."""
        import cudnn
        import torch

        stream = torch.cuda.current_stream(self.room.device).cuda_stream
        cudnn.set_stream(self.handle, stream)
        self.graph.execute({**self.bound, **more}, self.room, handle=self.handle)


class Drawing:
    """A graph while its tensors are declared."""

    def __init__(self, inputs: Inputs) -> None:
        import cudnn
        import torch

        self.kinds = {
            torch.float16: cudnn.data_type.HALF,
            torch.bfloat16: cudnn.data_type.BFLOAT16,
            torch.float32: cudnn.data_type.FLOAT,
            torch.int32: cudnn.data_type.INT32,
            torch.int64: cudnn.data_type.INT64,
        }
        self.inputs = inputs
        self.handle = cudnn.create_handle()
        self.graph = cudnn.pygraph(
            io_data_type=self.kinds[inputs.q.dtype],
            intermediate_data_type=cudnn.data_type.FLOAT,
            compute_data_type=cudnn.data_type.FLOAT,
            handle=self.handle,
        )
        self.bound: dict[Any, Tensor] = {}

    def declared(self, tensor: Tensor, *, ragged: Any = None, shape: Any = None) -> Any:
        """Declare an input by a tensor that lies as it will.

        A ragged one has the shape of its longest sequences and the offset of each.
        """
        dims, strides = (list(tensor.shape), list(tensor.stride())) if shape is None else shape
        return self.graph.tensor(
            dim=dims,
            stride=strides,
            data_type=self.kinds[tensor.dtype],
            ragged_offset=ragged,
        )

    def given(self, tensor: Tensor, *, ragged: Any = None, shape: Any = None) -> Any:
        """Declare an input and bind it for every call."""
        found = self.declared(tensor, ragged=ragged, shape=shape)
        self.bound[found] = tensor
        return found

    def made(self, symbol: Any, tensor: Tensor, *, ragged: Any = None, shape: Any = None) -> Any:
        """Declare an output by a tensor that lies as it shall."""
        dims, strides = (list(tensor.shape), list(tensor.stride())) if shape is None else shape
        symbol.set_output(True).set_dim(dims).set_stride(strides)
        symbol.set_data_type(self.kinds[tensor.dtype])
        if ragged is not None:
            symbol.set_ragged_offset(ragged)
        return symbol

    def mask(self) -> dict[str, Any]:
        """The diagonal and its bounds; cuDNN counts a window as we do, the row's own key in it."""
        import cudnn

        problem = self.inputs.problem
        aligned = cudnn.diagonal_alignment
        is_bottom = problem.mask_align == "bottom_right"
        return {
            "diagonal_alignment": aligned.BOTTOM_RIGHT if is_bottom else aligned.TOP_LEFT,
            "diagonal_band_right_bound": None if problem.mask == "none" else 0,
            "diagonal_band_left_bound": problem.window,
        }

    def sink(self) -> Any:
        """One logit a query head, ``[1, q_heads, 1, 1]``; None where there is none."""
        logits = self.inputs.sink_logits
        return None if logits is None else self.given(logits.view(1, -1, 1, 1))

    def built(self) -> Built:
        """Check the graph, choose a plan, compile it and reserve its workspace."""
        import cudnn
        import torch

        self.graph.build([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        size = max(1, self.graph.get_workspace_size())
        room = torch.empty(size, dtype=torch.uint8, device=self.inputs.q.device)
        return Built(self.graph, self.handle, self.bound, room)
