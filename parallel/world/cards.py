"""Whether each rank on this machine has a GPU of its own, as NCCL needs."""

import torch


def refuse_few(ranks: int) -> None:
    """Refuse NCCL for more ranks than there are GPUs here.

    Raises:
        ValueError: with both numbers, and what to type.
    """
    there = torch.cuda.device_count()
    if ranks > there:
        raise ValueError(
            f"backend='nccl' with {ranks} ranks on this machine, which has {there} GPUs: each rank "
            "needs one of its own; backend='gloo' computes on processors, and is what is taken "
            "where none is named"
        )
