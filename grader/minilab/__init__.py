"""minilab: the workshop's tool. Makes labs from the reference, runs a learner's checks, grades a class."""
