"""How many requests run and wait at one place, and how that is measured. Pure: no loop, no clock."""
