"""How each lab's part is driven: plain data in, calls of the platform's functions, plain data out.

A drive is a function of one JSON value. It runs beside the learner's code, and on the judge's side against
the reference, for the answer that is expected. It knows no test and no expected value.
"""
