"""Cases that our node does not pass yet: title (and who, where it is not everyone) -> why. They are printed, never dropped.

`interop/run --with-later` tries them all the same.
"""

LATER = {
}


def reason(case):
    return LATER.get((case.title, case.who)) or LATER.get(case.title)
