"""Running a plan: claim, read, compute, gate, publish.

Invariants:

* What is read is pinned by version; what is published was computed from just that, whatever moved meanwhile.
* A blob is written before the ledger names it, and the ledger names it, its inputs, its head and its event in one
  transaction: a crash anywhere leaves an orphan blob at worst.
* Only the holder of a partition's lease publishes it.
* A partition that fails keeps its last good head and stops no other.

``results`` are the words for what comes out, ``batch`` is what the parts share, ``keeper`` holds leases, ``watch``
notices what others change, ``compute`` reads and calls, ``searching`` finds hyper-parameters, ``checks`` gates,
``finish`` brings one partition to its result, ``publish`` commits, ``worker`` orders the work of one asset's batch,
``run`` works off a plan.
"""
