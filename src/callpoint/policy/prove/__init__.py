"""Proofs about policies, over every question that can be asked: ``callpoint policy prove``.

Cedar policies become formulas, and a solver (z3, the extra ``prove``) looks for a question that
the policies allow and an invariant forbids. ``docs/policy.md`` says what is left out; whatever
the encoding does not know makes a result *not proved*, and a counterexample counts only once
Cedar itself allows it.
"""
