"""Products of sparse layers on an NVIDIA card.

    card          what is asked of the card itself
    forms  fit    forms of the kernels in fine.cu; which one a pattern, a type and a card get
    compile       one of them for this card, once a process
    fine          single connections: tables, and the three products of a training step
    tiles         dense tiles of 16, 32, 64 or 128: the same by Triton (tile_kernels)
    products      behind the operators of linear_ops: one of the two, or dense
    windows       convolutions whose channels are connected in tiles, by tile_kernels too
    convolutions  behind the operators of conv_ops: those, or dense
    check         a kernel beside a float64 twin, before `auto` may take it

None of it waits for the card in a call, and sums have one order. What has run on a card, and how
fast, is in benchmarks/gpu/records.
"""
