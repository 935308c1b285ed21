"""Cases that our node does not pass yet, by title: why. They are printed as `later`, never dropped.

`interop/run --with-later` tries them all the same: one that passes has to leave this list.
"""

LATER = {
    "POP": "the broker has no POP family (400, 401, 200050-200055)",
}
